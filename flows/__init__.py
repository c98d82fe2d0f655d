"""The flows: one FlowSpec per file, wiring only."""
