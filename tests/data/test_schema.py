import copy
import csv
import datetime
import random
import tomllib
from collections import Counter

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlcycle.data.profile import describe_profile, profile_shard
from dlcycle.data.schema import check_schema, infer_schema, schema_to_toml
from dlcycle.errors import ConfigError, DataError
from dlcycle.project_file import parse_project

HOSTILE = [
    'a"b',
    "a\\b",
    "a\nb\r\nc",
    "\x00\x7f\x1f",
    "'''",
    '"""',
    "# no comment",
    "a.b",
    "]",
    "\u202eabc\u200b",
    "😀",
    " ",
    "",
]
TEXT = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
SHARE = st.floats(0, 1)
RULE = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["text", "category", "integer"]),
        "required": st.booleans(),
        "missing_share_at_most": SHARE,
    },
    optional={"domain": st.lists(TEXT, max_size=4), "smallest": TEXT, "largest": TEXT, "words_at_most": st.integers(0)},
)
SCHEMA = st.fixed_dictionaries(
    {
        "version": st.just(1),
        "rows_at_least": st.integers(0, 2**70),
        "languages": st.lists(TEXT, max_size=3),
        "columns": st.dictionaries(TEXT, RULE, max_size=4),
    }
)


def words_of(texts):
    """LENGTHS of texts, in buckets of ten words."""
    counts = [len(text.split()) for text in texts]
    buckets = Counter(count // 10 for count in counts)
    histogram = [{"low": 10 * i, "high": 10 * i + 10, "count": n} for i, n in sorted(buckets.items())]
    return {"n": len(counts), "min": min(counts), "max": max(counts), "histogram": histogram}


def column(name, values, *, role="other", type="category", listed=10):
    """The profile of a column, counted exactly; None is a missing value."""
    held = [value for value in values if value is not None]
    counts = Counter(held)
    top = [
        {"value": value[:200], "count": n, "high": n, "share": n / len(held)} for value, n in counts.most_common(listed)
    ]
    of_type = {"integer": int, "number": float, "date": datetime.date.fromisoformat}.get(type)
    ordered = sorted(held, key=of_type) if of_type else []
    return {
        "name": name,
        "role": role,
        "type": type if held else "empty",
        "rows": len(values),
        "missing": len(values) - len(held),
        "distinct": {"value": len(counts), "low": len(counts), "high": len(counts), "exact": True},
        "top": top,
        "types": dict.fromkeys(["integer", "number", "date", "boolean", "text"], 0)
        | {type if type != "category" else "text": len(held)},
        "smallest": ordered[0] if ordered else None,
        "largest": ordered[-1] if ordered else None,
        "words": words_of(held) if held and type in ("text", "category") else None,
    }


def profile(*columns):
    rows = columns[0]["rows"] if columns else 0
    target = next((c for c in columns if c["role"] == "target"), None)
    classes = [{"label": item["value"], "rows": item["count"]} for item in target["top"]] if target else []
    samples = [{"row": i + 1, "line": i + 2, "label": c["label"], "text": "t"} for i, c in enumerate(classes)]
    return {"rows": rows, "columns": list(columns), "classes": classes, "samples": samples}


def shop(rows=100, *, labels=("Books", "Toys"), prices=range(1, 50), words=5, missing=0):
    texts = [None] * missing + [" ".join(["word"] * words)] * (rows - missing)
    return profile(
        column("description", texts, role="input", type="text"),
        column("category", [labels[i % len(labels)] for i in range(rows)], role="target", listed=200),
        column("price", [str(prices[i % len(prices)]) for i in range(rows)], type="integer"),
        column("day", [f"2024-01-{1 + i % 28:02d}" for i in range(rows)], type="date", role="time"),
    )


def spoken(**rows):
    counts = [{"language": code.upper(), "code": code, "rows": n, "expected": n >= 10} for code, n in rows.items()]
    unexpected = [
        {"code": c["code"], "examples": [{"row": i, "line": i, "label": "", "text": c["code"]} for i in (9, 3)]}
        for c in counts
        if not c["expected"]
    ]
    return {"rows": sum(rows.values()), "counts": counts, "unexpected": unexpected}


def named(findings):
    return [finding["name"] for finding in findings]


def accepted(schema, findings):
    """The schema with the project-file lines of all findings taken over."""
    schema = copy.deepcopy(schema)
    for finding in findings:
        change = tomllib.loads(finding["config"]).get("schema", {})
        for name, rule in change.pop("columns", {}).items():
            schema["columns"][name] = schema["columns"].get(name, {}) | rule
        schema |= change
    return schema


@given(SCHEMA)
def test_toml_reads_back_as_the_same_schema(schema):
    text = schema_to_toml(schema)
    assert tomllib.loads(text) == {"schema": schema}
    assert text.replace("\n", "").isprintable(), "an editor must show every character"


@given(SCHEMA)
def test_schema_can_stand_in_a_project_file(schema):
    project = '[data]\ntarget = "category"\n\n' + schema_to_toml(schema) + "\n[split]\nseed = 1\n"
    assert tomllib.loads(project) == {"data": {"target": "category"}, "schema": schema, "split": {"seed": 1}}


def test_none_is_left_out_and_lone_surrogates_are_replaced():
    schema = {"version": 1, "columns": {"a\ud800": {"type": "category", "domain": ["\udfff"], "smallest": None}}}
    columns = tomllib.loads(schema_to_toml(schema))["schema"]["columns"]
    assert columns == {"a\ufffd": {"type": "category", "domain": ["\ufffd"]}}
    assert infer_schema(profile(column("a\ud800", ["\udfff"] * 4)))["columns"]["a\ufffd"]["domain"] == ["\ufffd"]


def test_inferred_schema():
    assert infer_schema(shop(missing=3), languages=spoken(en=90, hi=10, de=5, unknown=20)) == {
        "version": 1,
        "rows_at_least": 50,
        "languages": ["en", "hi"],
        "columns": {
            "description": {"type": "text", "required": True, "missing_share_at_most": 0.06, "words_at_most": 10},
            "category": {
                "type": "category",
                "required": True,
                "missing_share_at_most": 0.01,
                "domain": ["Books", "Toys"],
            },
            "price": {
                "type": "integer",
                "required": False,
                "missing_share_at_most": 0.01,
                "smallest": "1",
                "largest": "49",
            },
            "day": {"type": "date", "required": True, "missing_share_at_most": 0.01, "smallest": "2024-01-01"},
        },
    }


@pytest.mark.parametrize(("distinct", "has_domain"), [(10, True), (11, False)])
def test_domain_needs_every_value_listed(distinct, has_domain):
    schema = infer_schema(profile(column("colour", [str(i % distinct) + "x" for i in range(220)])))
    assert ("domain" in schema["columns"]["colour"]) == has_domain


@pytest.mark.parametrize(("distinct", "has_domain"), [(100, True), (101, False)])
def test_domain_of_the_target_holds_at_most_100_labels(distinct, has_domain):
    labels = [f"label {i % distinct}" for i in range(404)]
    schema = infer_schema(profile(column("y", labels, role="target", listed=500)))
    assert ("domain" in schema["columns"]["y"]) == has_domain


def test_cut_values_make_no_domain():
    schema = infer_schema(profile(column("note", ["a" * 201, "b"] * 5)))
    assert "domain" not in schema["columns"]["note"]


LABELS = st.lists(st.sampled_from(["a", "b", "c", *HOSTILE]), min_size=1, max_size=6, unique=True)
SHOPS = st.builds(
    shop,
    st.integers(1, 300),
    labels=LABELS,
    prices=st.lists(st.integers(-(10**30), 10**30), min_size=1, max_size=5),
    words=st.integers(0, 300),
    missing=st.just(0) | st.just(1),
)


@given(SHOPS)
def test_data_pass_their_own_schema(data):
    languages = spoken(en=data["rows"] + 10, unknown=3)
    schema = infer_schema(data, languages=languages)
    assert check_schema(schema, data, languages=languages) == []
    frozen = tomllib.loads(schema_to_toml(schema))["schema"]
    assert check_schema(frozen, data, languages=languages) == []


@given(SHOPS, SHOPS)
def test_lines_in_config_accept_what_was_seen(before, after):
    schema = infer_schema(before, languages=spoken(en=99))
    findings = check_schema(schema, after, languages=spoken(en=99, de=1, hi=30))
    assert "unexpected_language" in named(findings)
    assert check_schema(accepted(schema, findings), after, languages=spoken(en=99, de=1, hi=30)) == []
    order = [(("critical", "warning", "note").index(f["severity"]), -f["count"]) for f in findings]
    assert order == sorted(order)
    assert all(finding["pillar"] == "Validity" and 0 <= finding["share"] <= 1 for finding in findings)


@given(st.randoms(use_true_random=False), SHOPS, SHOPS)
def test_order_of_columns_does_not_count(random_, before, after):
    shuffled = after | {"columns": random_.sample(after["columns"], len(after["columns"]))}
    schema = infer_schema(before)
    assert check_schema(schema, shuffled) == check_schema(schema, after)


def without(data, name):
    return data | {"columns": [c for c in data["columns"] if c["name"] != name]}


def replaced(data, new):
    return data | {"columns": [new if c["name"] == new["name"] else c for c in data["columns"]]}


NUMBERED = column("description", ["7"] * 100, role="input", type="integer")
ANOMALIES = [
    (without(shop(), "description"), "missing_column", "critical", 0, "'description'"),
    (profile(*shop()["columns"], column("new", ["1"] * 100)), "new_column", "note", 0, "'new' (category)"),
    (replaced(shop(), column("price", ["1.5"] * 100, type="number")), "type_changed", "warning", 100, "number"),
    (replaced(shop(), NUMBERED), "type_changed", "critical", 100, "text"),
    (shop(labels=("Books", "Toys", "Tools", "Toys")), "new_value", "critical", 25, "'Tools'"),
    (shop(prices=[1, -7]), "out_of_range", "warning", 1, "the smallest is -7, limit 1"),
    (shop(prices=[1, 50]), "out_of_range", "warning", 1, "the largest is 50, limit 49"),
    (shop(missing=2), "too_many_missing", "warning", 2, "2.0%), the schema allows 1.0%"),
    (shop(missing=100), "too_many_missing", "critical", 100, "100.0%"),
    (shop(words=11), "text_too_long", "warning", 1, "11 words, the schema allows 10"),
    (shop(words=35), "text_too_long", "warning", 100, "35 words"),
    (shop(rows=49), "too_few_rows", "warning", 0, "49 rows"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "name", "severity", "count", "words"), ANOMALIES)
def test_each_anomaly_alone(data, name, severity, count, words):
    (finding,) = check_schema(infer_schema(shop()), data)
    assert (finding["name"], finding["severity"], finding["count"]) == (name, severity, count)
    assert words in finding["message"]
    assert finding["share"] == count / data["rows"]
    assert finding["decision"]


@pytest.mark.parametrize(("missing", "rows", "limit"), [(0, 9, 0.01), (1, 6, 0.3334), (5, 9, 1.0), (1, 1000, 0.01)])
def test_missing_share_has_slack_and_is_rounded_up(missing, rows, limit):
    schema = infer_schema(profile(column("x", [None] * missing + ["a"] * (rows - missing))))
    assert schema["columns"]["x"]["missing_share_at_most"] == limit


def test_absent_keys_are_not_checked():
    bare = {"version": 1, "columns": {name: {} for name in ("description", "category", "price", "day")}}
    assert check_schema(bare, shop(missing=100, prices=[-(10**9)])) == []
    bare["columns"]["price"] = {"largest": "10"}
    assert named(check_schema(bare, shop())) == ["out_of_range"]


def test_column_that_nobody_reads_may_be_absent():
    schema = infer_schema(shop())
    assert check_schema(schema, without(shop(), "price")) == []
    schema["columns"]["price"]["required"] = True
    assert named(check_schema(schema, without(shop(), "price"))) == ["missing_column"]


def test_examples_of_a_new_label_are_its_rows():
    (finding,) = check_schema(infer_schema(shop()), shop(labels=("Books", "Tools")))
    assert [row["label"] for row in finding["examples"]] == ["Tools"]


def test_values_that_the_profile_does_not_list_are_counted_or_named_as_unchecked():
    schema = infer_schema(profile(column("c", ["a", "b"] * 50)))
    many = profile(column("c", [f"v{i}" for i in range(50)] + ["a", "b"] * 25, listed=3))
    (finding,) = check_schema(schema, many)
    assert (finding["name"], finding["severity"], finding["count"]) == ("new_value", "warning", 50)
    assert "at least 49 more" in finding["message"]
    schema["columns"]["c"]["domain"] = [*"ab", *(f"v{i}" for i in range(60))]
    (finding,) = check_schema(schema, many)
    assert (finding["severity"], finding["count"]) == ("note", 0)
    assert "49 rows" in finding["message"] and "not compared" in finding["message"]


def test_values_that_the_profile_cut_are_compared_as_cut():
    data = profile(column("note", ["x", "a" * 300] * 5))
    schema = {"version": 1, "columns": {"note": {"type": "category", "domain": ["x", "a" * 300]}}}
    assert check_schema(schema, data) == []
    schema["columns"]["note"]["domain"] = ["x"]
    assert named(check_schema(schema, data)) == ["new_value"]


def test_whole_numbers_are_numbers_and_numbers_are_compared_as_such():
    schema = infer_schema(profile(column("x", ["-5.5", "1e3"], type="number")))
    assert check_schema(schema, profile(column("x", ["9", "100"], type="integer"))) == []
    assert named(check_schema(schema, profile(column("x", ["9", "1001"], type="integer")))) == ["out_of_range"]


def test_dates_may_get_later_but_not_earlier():
    schema = infer_schema(shop())
    later, earlier = (column("day", [day] * 100, type="date", role="time") for day in ("2031-01-01", "1970-01-01"))
    assert check_schema(schema, replaced(shop(), later)) == []
    assert named(check_schema(schema, replaced(shop(), earlier))) == ["out_of_range"]


@pytest.mark.parametrize(("german", "severity"), [(1, "note"), (3, "warning"), (30, "critical")])
def test_other_languages(german, severity):
    schema = infer_schema(shop(), languages=spoken(en=200))
    (finding,) = check_schema(schema, shop(), languages=spoken(en=200, de=german, unknown=7))
    assert (finding["severity"], finding["count"]) == (severity, german)
    assert "DE" in finding["message"]
    assert [row["row"] for row in finding["examples"]] == ([3, 9] if german < 10 else [])
    assert check_schema(schema | {"languages": []}, shop(), languages=spoken(de=9)) == []


def test_languages_that_were_not_detected_are_said_to_be_unchecked():
    schema = infer_schema(shop(), languages=spoken(en=200))
    (finding,) = check_schema(schema, shop(), languages={"reason": "switched off"})
    assert (finding["severity"], finding["count"]) == ("note", 0)
    assert finding["message"].endswith("switched off")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"smallest": "cheap"}, "schema.columns.price.smallest: expected a number, got 'cheap'"),
        ({"largest": "NaN"}, "schema.columns.price.largest"),
    ],
)
def test_limit_that_is_no_number_is_refused(change, words):
    schema = infer_schema(shop())
    schema["columns"]["price"] |= change
    with pytest.raises(DataError, match=words):
        check_schema(schema, shop())


def test_other_version_is_refused():
    with pytest.raises(DataError, match=r"schema\.version is 2, expected 1"):
        check_schema({"version": 2, "columns": {}}, shop())


def measured(frame, *, inputs, target, **roles):
    roles |= dict.fromkeys(inputs, "input") | {target: "target"}
    numbers = range(1, len(frame) + 1)
    state = profile_shard(frame, rows=numbers, lines=numbers, inputs=inputs, target=target, roles=roles)
    return describe_profile(state, shards=1)


def sold(n, *, price="{}", day="{:02d}.03.2024", labels=("Books", "Toys", " ")):
    texts = [f"item number {i} of the shop" for i in range(n)]
    columns = {
        "text": [None, *texts[1:]],
        "label": [labels[i % len(labels)] for i in range(n)],
        "price": [price.format(i) for i in range(n)],
        "day": [day.format(1 + i % 28) for i in range(n)],
        "new": ["yes" if i % 2 else "no" for i in range(n)],
        "colour": ["red" if i % 2 else "blue" for i in range(n)],
    }
    return measured(pd.DataFrame(columns, dtype=object), inputs=["text"], target="label", day="time")


def test_measured_profiles_pass_and_fail_as_they_should():
    frozen = tomllib.loads(schema_to_toml(infer_schema(sold(200))))["schema"]
    columns = frozen["columns"]
    assert [rule["type"] for rule in columns.values()] == ["text", "category", "integer", "date", "boolean", "category"]
    assert columns["label"]["domain"] == ["Books", "Toys"]
    assert columns["day"]["smallest"] == "2024-03-01"
    assert columns["colour"]["domain"] == ["blue", "red"]
    assert check_schema(frozen, sold(200)) == []
    assert check_schema(frozen, sold(150)) == []
    assert named(check_schema(frozen, sold(201))) == ["out_of_range"]
    assert named(check_schema(frozen, sold(200, price="{}.5"))) == ["type_changed"]
    assert named(check_schema(frozen, sold(200, day="{:02d}.02.2024"))) == ["out_of_range"]
    assert named(check_schema(frozen, sold(200, labels=("Books", "Toys", "Tools")))) == ["new_value"]


def test_only_values_that_do_not_fit_the_type_are_counted():
    schema = infer_schema(profile(column("x", ["1"] * 100, type="integer")))
    data = measured(pd.DataFrame({"x": ["1"] * 60 + ["1.5"] * 40, "y": "a"}, dtype=object), inputs=[], target="y")
    finding = next(f for f in check_schema(schema, data) if f["name"] == "type_changed")
    assert (finding["count"], finding["share"]) == (40, 0.4)


def test_frozen_schema_in_a_project_file():
    frozen = parse_project('[project]\nname = "shop"\n\n' + schema_to_toml(infer_schema(sold(200))))["schema"]
    assert check_schema(frozen, sold(200)) == []
    assert named(check_schema(frozen, sold(201))) == ["out_of_range"]
    with pytest.raises(ConfigError, match="wrods_at_most"):
        parse_project("[schema.columns.text]\nwrods_at_most = 3\n")


def test_real_data_against_a_changed_half(ecommerce_csv):
    with open(ecommerce_csv, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    random.Random(0).shuffle(rows)

    def described(part):
        return measured(pd.DataFrame(part, dtype=object), inputs=["description"], target="category")

    half = len(rows) // 2
    frozen = tomllib.loads(schema_to_toml(infer_schema(described(rows[:half]))))["schema"]
    assert set(frozen["columns"]["category"]["domain"]) == {row["category"] for row in rows}
    assert check_schema(frozen, described(rows[half:])) == []
    changed = [row | {"category": "Garden"} if i < 7 else row for i, row in enumerate(rows[half:])]
    (finding,) = check_schema(frozen, described(changed))
    assert (finding["name"], finding["count"]) == ("new_value", 7)
    assert 0 < len(finding["examples"]) <= 5
