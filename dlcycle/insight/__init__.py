"""How good a trained model is, why it decides so, where and for whom it fails, and what to do about it.

Four front doors, each called by a step of a flow: `assess` (the model and its baseline on the test part), `explanation`
(why it decides so), `inspection` (where it fails, for whom, and at what cost) and `robustness.stress` (on changed
texts). What they measure with is beside them: `bootstrap` gives every number its interval, `metrics` and `calibration`
say how good decisions are, `compare` and `before` set two models side by side, `consistency` tries batch sizes, and
`evaluate` puts the measures of one model together. A folder answers one question:

    attribution   Which words decide, and can that be believed?
    mistakes      Where does it err, and which labels look wrong?
    fairness      Are groups of rows treated alike?
    robustness    Do decisions stay when texts are changed?
    decisions     What do decisions cost, and who should make which?
    advice        What does a manager need to know, and what comes next?
"""
