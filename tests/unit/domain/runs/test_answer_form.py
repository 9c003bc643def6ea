"""A person is asked for the fields that other tasks read of a review without a form."""

from typing import Any

from support.advancing import begun, ended, task, task_of


def input_of_review(*others: dict[str, Any], **body: Any) -> dict[str, Any]:
    review = {"name": "review", "manual": {"instructions": "Look.", **body}}
    found = task_of(begun(review, *others), "review").input
    return dict(found)


def test_the_form_has_the_fields_that_are_read():
    tell = task("tell", needs=["review"], say={"text": "it is ${ tasks.review.output.verdict }"})
    note = task(
        "note",
        needs=["review"],
        when="has(tasks.review.output.note)",
        say={"text": "${ tasks.review.output.note }, ${ tasks.review.status }"},
    )
    assert input_of_review(tell, note)["form"] == {
        "type": "object",
        "required": ["verdict"],
        "properties": {"verdict": {}, "note": {}},
    }


def test_without_such_fields_and_with_a_form_of_its_own_nothing_is_added():
    reads = task("tell", needs=["review"], say={"text": "${ tasks.review.output }"})
    assert "form" not in input_of_review(reads)
    reads = task("tell", needs=["review"], say={"text": "${ tasks.review.output.verdict }"})
    assert input_of_review(reads, form={})["form"] == {}
    assert "form" not in input_of_review(task("tell", say={"text": "tasks.review.output."}))


def test_expressions_read_the_fields_of_an_answer():
    score = {"name": "score", "http": {"url": "/"}}
    say = {"risk": "${ tasks.score.output.risk }", "of": "${ tasks.score.output.status }"}
    state = begun(score, task("next", needs=["score"], say=say))
    state = ended(state, "score", output={"status": 200, "json": {"risk": 0.9, "status": "good"}})
    assert task_of(state, "next").input == {"risk": 0.9, "of": 200}
    assert task_of(state, "score").output["json"] == {"risk": 0.9, "status": "good"}
