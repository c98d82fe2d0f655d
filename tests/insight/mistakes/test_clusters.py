import json

import numpy as np
import pytest

from dlcycle.insight.mistakes.clusters import LEAST_MISTAKES, mistake_clusters

TOPICS = {
    "camera": ["camera", "lens", "tripod", "shutter", "zoom", "flash", "battery", "focus"],
    "novel": ["novel", "author", "chapter", "story", "reader", "fiction", "poems", "press"],
    "kitchen": ["kitchen", "pan", "steel", "bottle", "lid", "cook", "stove", "knife"],
    "shirt": ["shirt", "cotton", "sleeve", "collar", "cloth", "wash", "fabric", "wear"],
    "garden": ["garden", "seed", "plant", "soil", "pot", "water", "flower", "leaf"],
}
COMMON = ["new", "best", "quality", "product", "colour", "size", "the", "with", "for", "and", "gift", "india"]


def make_texts(rows: int, *, seed: int) -> tuple[list[str], np.ndarray]:
    """Texts of 8 words of their topic among 8 that all share, and the name of the topic of each."""
    rng = np.random.default_rng(seed)
    topics = rng.choice(list(TOPICS), rows)
    texts = [" ".join(rng.permutation([*rng.choice(TOPICS[topic], 8), *rng.choice(COMMON, 8)])) for topic in topics]
    return texts, topics


def planted(seed: int, *, bad: tuple[str, ...] = ("camera", "shirt"), rate: float = 0.5, noise: float = 0.02):
    """The arguments of a search where texts of some topics are decided wrongly far more often than others."""
    training, _ = make_texts(600, seed=1000 + seed)
    validation, topics = make_texts(300, seed=2000 + seed)
    test, of_test = make_texts(600, seed=3000 + seed)
    rng = np.random.default_rng(seed)
    wrong = rng.random(300) < np.where(np.isin(topics, bad), rate, noise)
    return validation, ~wrong, training, test, of_test


def search(validation, correct, training, test, *, seed=0):
    return mistake_clusters(validation, correct, training_texts=training, test_texts=test, seed=seed)


def test_the_topics_that_are_decided_wrongly_are_found_and_described() -> None:
    validation, correct, training, test, of_test = planted(0)
    found = search(validation, correct, training, test)
    assert found["mistakes"] == int((~correct).sum())
    assert 2 <= len(found["clusters"]) <= 8
    sizes = [cluster["mistakes"] for cluster in found["clusters"]]
    assert sizes == sorted(sizes, reverse=True)
    topics = set()
    for number, cluster in enumerate(found["clusters"]):
        # A few mistakes have another topic; a small cluster may be theirs.
        if cluster["mistakes"] >= 8:
            names, counts = np.unique(of_test[found["members"] == number], return_counts=True)
            topics.add(topic := str(names[counts.argmax()]))
            assert counts.max() / counts.sum() > 0.9
            assert set(cluster["words"]) <= set(TOPICS[topic])
    assert topics == {"camera", "shirt"}
    inside, bad = found["members"] >= 0, np.isin(of_test, ["camera", "shirt"])
    assert inside[bad].mean() > 0.7
    assert inside[~bad].mean() < 0.1


def test_right_rows_of_a_region_belong_to_its_cluster_too() -> None:
    """Else the accuracy inside a cluster would be 0 by its making."""
    validation, correct, training, test, _ = planted(1)
    again = search(validation, correct, training, [*test, *validation])["members"][len(test) :]
    assert correct[again >= 0].any()
    assert (~correct[again >= 0]).any()


def test_a_cluster_reaches_no_further_than_mistakes_are_dense() -> None:
    validation, correct, training, _, _ = planted(2)
    wrong = [text for text, right in zip(validation, correct, strict=True) if not right]
    found = search(validation, correct, training, wrong)
    assert (found["members"] >= 0).mean() > 0.5  # at least half of the mistakes, by the definition of the radius
    # a control: texts of a topic without mistakes, and of no known topic
    others = make_texts(200, seed=9)
    far = [text for text, topic in zip(*others, strict=True) if topic == "novel"]
    assert (search(validation, correct, training, far)["members"] == -1).all()
    assert (search(validation, correct, training, ["", "zzz 1234", "空白"])["members"] == -1).all()


def test_where_all_is_wrong_no_region_is_worse() -> None:
    validation, _, training, test, _ = planted(7)
    found = search(validation, [False] * len(validation), training, test)
    assert found["clusters"] == []
    assert (found["members"] == -1).all()


def test_large_parts_are_sampled_whatever_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, most in (("MOST_TEXTS", 200), ("MOST_MISTAKES", 30)):
        monkeypatch.setattr(f"dlcycle.insight.mistakes.clusters.{name}", most)
    validation, correct, training, test, _ = planted(8)
    found = search(validation, correct, training, test)
    assert found["mistakes"] == (~correct).sum() > 30 >= sum(cluster["mistakes"] for cluster in found["clusters"])
    again = search(validation[::-1], correct[::-1], training[::-1], test)
    assert again["members"].tolist() == found["members"].tolist()


def test_the_order_of_the_rows_does_not_matter() -> None:
    validation, correct, training, test, _ = planted(3)
    first = search(validation, correct, training, test)
    rng = np.random.default_rng(0)
    a, b, c = (rng.permutation(len(part)) for part in (validation, training, test))
    again = search([validation[i] for i in a], correct[a], [training[i] for i in b], [test[i] for i in c])
    assert again["clusters"] == first["clusters"]
    assert again["members"].tolist() == first["members"][c].tolist()
    assert search(validation, correct, training, test)["clusters"] == first["clusters"]


def test_test_rows_have_no_say_in_the_clusters() -> None:
    validation, correct, training, test, _ = planted(4)
    whole, half = (search(validation, correct, training, part) for part in (test, test[::2]))
    assert whole["clusters"] == half["clusters"]
    assert whole["members"][::2].tolist() == half["members"].tolist()


def test_few_mistakes_are_not_grouped() -> None:
    validation, correct, training, test, _ = planted(5)
    correct[:] = True
    correct[: LEAST_MISTAKES - 1] = False
    found = search(validation, correct, training, test)
    assert found == {
        "mistakes": 9,
        "reason": "the model makes 9 mistakes on the validation part; clusters need at least 10",
    }
    correct[LEAST_MISTAKES - 1] = False
    assert "clusters" in search(validation, correct, training, test)


@pytest.mark.parametrize("training", [[], [""], ["one", "two"], ["  ", "…"]])
def test_training_texts_without_a_common_word_are_a_reason(training: list[str]) -> None:
    found = search(["one two"] * 20, [False] * 20, training, ["one"])
    assert found["mistakes"] == 20
    assert "no two training texts share a word" in found["reason"]


def test_mistakes_without_a_known_word_are_a_reason() -> None:
    found = search(["空白"] * 20, [False] * 20, ["one two"] * 9, ["one"])
    assert "words of the training part are in 0 of 20 mistakes" in found["reason"]


def test_equal_mistakes_are_one_cluster() -> None:
    found = search(["red hat"] * 12 + ["blue sea"] * 8, [False] * 12 + [True] * 8, ["red hat", "blue sea"] * 9, ["red"])
    assert [(c["words"], c["mistakes"], c["radius"]) for c in found["clusters"]] == [(["hat", "red"], 12, 0.0)]


def test_words_show_no_personal_data() -> None:
    text = "camera lens tripod write to janedoe@example.com or call +91 98765 43210"
    found = search([text] * 30 + ["a shirt"] * 30, [False] * 30 + [True] * 30, [text, "a shirt"] * 50, [text])
    words = {word for cluster in found["clusters"] for word in cluster["words"]}
    assert "camera" in words
    assert not {"janedoe", "example", "98765", "43210"} & words


def test_what_is_found_is_plain_data_but_for_the_members() -> None:
    validation, correct, training, test, _ = planted(6)
    found = search(validation, correct, training, test)
    members = found.pop("members")
    assert members.shape == (600,)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
