"""Look at a data set before training on it: is it fit to learn from, what is wrong, which rows, and what to do.

python flows/eda_flow.py run
python flows/eda_flow.py --config project configs/ecommerce.toml run --data PATH_OR_URL --shards 4
python flows/eda_flow.py card view judge
"""

import time
from typing import TYPE_CHECKING, Any

from metaflow import Parameter, card, config_expr, step

from dlcycle.flowkit import inputs, lineage, live, output, summary
from dlcycle.flowkit.base import BaseFlow
from dlcycle.flowkit.machine import on_machine

if TYPE_CHECKING:
    from dlcycle.config import Project
    from dlcycle.data.dataset import Dataset
    from dlcycle.data.quality.evidence import Evidence
    from dlcycle.data.rawtable import RawTable


class EdaFlow(BaseFlow):
    """From a source of labelled text to a verdict on it, with the rows behind it and the decisions to take.

    In:  the project file (Config `project`), --data, --shards, --write-schema.
    Out: profile, quality, languages, recommended, schema, removed (dicts); findings (list of dicts); data_fingerprint
         (text; empty when the rows could not be cleaned and split); and, for TrainFlow, rows, source, cleaning, split.
         All are plain data, which the Client reads without dlcycle.

    Hooks to override in a subclass: settings, read_source, survey_rows, version_rows, probe, gather.
    """

    data = inputs.InputFile(
        "data",
        replaces="data.source",
        help="Where the rows come from: sample, a path, https:// or s3://. Default: data.source.",
    )
    shards = Parameter(
        "shards", type=int, default=config_expr("project.eda.shards"), help="Tasks that the rows are divided among."
    )
    write_schema = inputs.OutputFile(
        "write-schema",
        printed="from dlcycle.data.schema import schema_to_toml; print(schema_to_toml(data.schema))",
        help="File, on the machine of the last step, that gets the schema as TOML.",
    )

    @step
    def start(self):
        """Read the source leniently, once, and cut it into shards."""
        from dlcycle.data.dataset import table_to_bytes
        from dlcycle.data.survey import shard_table

        self.started = time.time()
        if self.write_schema:
            output.check_output(self.write_schema, option="--write-schema")
        settings = self.settings()
        table, source = self.read_source(settings)
        self.source = inputs.as_given(source, self.launch)
        self.quarantined, self.code_state = table_to_bytes(table.quarantined), lineage.code_state(self.launch)
        self.columns = table.names
        self.shard_names = []
        for number, shard in enumerate(shard_table(table, shards=settings.eda.shards)):
            # An artifact of its own, so that a task loads its shard and no other.
            self.shard_names.append(f"shard_{number:04d}")
            setattr(self, self.shard_names[-1], shard)
        self.next(self.survey, foreach="shard_names")

    @on_machine("eda")
    @step
    def survey(self):
        """Look at every row of a shard: columns, lengths, languages, flaws of the texts."""
        self.state = self.survey_rows(getattr(self, self.input), self.settings())
        self.next(self.merge)

    @step
    def merge(self, inputs):
        """Merge what the shards show."""
        from dlcycle.data.survey import merge_surveys

        self.merge_artifacts(inputs, exclude=["state"])
        merged = merge_surveys([task.state for task in inputs], settings=self.settings())
        self.profile, self.languages, self.validity = merged["profile"], merged["languages"], merged["validity"]
        self.facts = merged["facts"]
        self.next(self.version)

    @on_machine("eda")
    @step
    def version(self):
        """Clean and split the rows as training would, and measure what a simple model can tell about them."""
        from dlcycle.data.dataset import removed_summary, table_from_bytes, table_to_bytes

        settings = self.settings()
        dataset, self.unusable = self.version_rows(settings)
        self.measured = self.probe(dataset, settings) if dataset else {}
        self.rows = table_to_bytes(dataset.frame) if dataset else None
        unread = table_from_bytes(self.quarantined).assign(label="")
        self.removed = removed_summary(dataset.removed if dataset else unread)
        self.cleaning, self.split = (dataset.cleaning, dataset.split) if dataset else ({}, {})
        self.data_fingerprint = dataset.fingerprint if dataset else ""
        self.next(self.judge)

    @card(type="dlcycle_eda", id=live.CARD_ID, refresh_interval=live.REFRESH_SECONDS)
    @step
    def judge(self):
        """Grade the data, rank the findings, recommend settings, infer the schema and check the frozen one."""
        from dlcycle.data.quality.judge import judge_data

        settings = self.settings()
        judged = judge_data(self.gather(settings))
        self.profile, self.quality, self.findings = judged.profile, judged.quality, judged.findings
        self.recommended, self.schema = judged.recommended, judged.schema
        self.lineage = self.describe_lineage(settings)
        self.next(self.end)

    @step
    def end(self):
        """Say what came out, and write the schema if asked to."""
        lineage.tag_run(data=self.data_fingerprint, grade=self.quality["grade"])
        if self.write_schema:
            from dlcycle.data.schema import schema_to_toml

            print(output.write_output(self.write_schema, schema_to_toml(self.schema), option="--write-schema"))
        print(summary.describe_data(self))

    # Hooks

    def settings(self) -> "Project":
        """Return the typed project: the project file with --data and --shards in their places."""
        from dlcycle.data.recommend import split_as_recommended
        from dlcycle.project_file import validate_project

        raw = self.project.to_dict()
        if self.data:
            raw["data"]["source"] = self.data
        raw["eda"]["shards"] = self.shards
        return split_as_recommended(validate_project(raw))

    def read_source(self, settings: "Project") -> "tuple[RawTable, dict[str, Any]]":
        """Read what can be read of the source; return the rows and where they come from."""
        from dlcycle.data.dataset import read_rows

        return read_rows(settings, uri=inputs.stored_at(settings.data.source, self.launch), lenient=True)

    def survey_rows(self, shard: bytes, settings: "Project") -> dict[str, Any]:
        """Look at every row of a shard; return what `merge_surveys` merges."""
        from dlcycle.data.survey import survey_shard

        return survey_shard(shard, columns=self.columns, settings=settings)

    def version_rows(self, settings: "Project") -> "tuple[Dataset | None, str]":
        """Clean and split the rows; return the dataset version, or why there is none."""
        from dlcycle.data.dataset import version_rows
        from dlcycle.data.survey import missing_columns
        from dlcycle.errors import DataError

        if missing := missing_columns(settings, self.columns):
            return None, f"The source lacks {', '.join(missing)}"
        try:
            return version_rows(self.load_table, settings=settings, source=self.source), ""
        except DataError as failure:
            return None, str(failure)

    def probe(self, dataset: "Dataset", settings: "Project") -> dict[str, Any]:
        """Measure label errors, the learning curve, and how parts and groups differ."""
        from dlcycle.data.dataset import table_from_bytes
        from dlcycle.model.probe import probe_dataset

        return probe_dataset(dataset, facts=table_from_bytes(self.facts), settings=settings)

    def gather(self, settings: "Project") -> "Evidence":
        """Return all that is known about the data when it is judged."""
        from dlcycle.data.quality.evidence import Evidence
        from dlcycle.data.survey import missing_columns

        return Evidence(
            settings=settings,
            profile=self.profile,
            validity=self.validity,
            languages=self.languages,
            source=self.source,
            cleaning=self.cleaning,
            split=self.split,
            removed=self.removed["counts"],
            examples=self.removed["examples"],
            measured=self.measured,
            unusable=self.unusable,
            missing_columns=missing_columns(settings, self.columns),
        )

    def load_table(self) -> "RawTable":
        """Return the rows as they were read."""
        from dlcycle.data.survey import join_shards

        shards = [getattr(self, name) for name in self.shard_names]
        return join_shards(shards, columns=self.columns, quarantined=self.quarantined)

    def describe_lineage(self, settings: "Project") -> dict[str, Any]:
        """Return where the result came from: data, code, settings, machine, time and cost."""
        return lineage.describe_run(settings, started=self.started, log_step="judge", card_step="judge") | {
            "source": self.source,
            "cleaning": self.cleaning,
            "data_fingerprint": self.data_fingerprint,
            "git": self.code_state,
            "machine": lineage.machine(),
        }


if __name__ == "__main__":
    EdaFlow()
