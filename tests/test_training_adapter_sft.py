"""Settings of trl that would silently alter what is trained, or be ignored, are refused with the reason."""

from __future__ import annotations

from typing import Any

import pytest

from chattmpl.errors import UsageError
from support.extras import need

need("datasets", "numpy", "pyarrow", "torch", "transformers", "trl", session="train")

pytestmark = [
    pytest.mark.train,
    pytest.mark.filterwarnings("ignore"),  # warnings of torch, transformers and trl
]

PLAIN = {"input_ids": [[1, 2, 3], [4, 5]], "labels": [[-100, 2, 3], [-100, 5]]}
PACKED = {"input_ids": [[1, 2, 3, 4]], "labels": [[-100, 2, -100, 4]], "seq_lengths": [[2, 2]]}


def config(columns: dict[str, Any], **options: Any) -> Any:
    from datasets import Dataset

    from chattmpl.training.adapter import sft_config

    return sft_config(Dataset.from_dict(columns), **options)


def without(columns: dict[str, Any], *names: str, **more: Any) -> dict[str, Any]:
    return {**{name: values for name, values in columns.items() if name not in names}, **more}


@pytest.mark.parametrize(
    ("columns", "options", "problem"),
    [
        (PLAIN, {"assistant_only_loss": True}, "assistant_only_loss=True is for conversations"),
        (PLAIN, {"completion_only_loss": True}, "completion_only_loss=True has no effect"),
        (PLAIN, {"max_length": 2}, r"max_length=2, but rows have up to 3 tokens: trl would cut them"),
        (PLAIN, {"max_length": 2, "packing": True}, "trl would discard the rest"),
        (PLAIN, {"packing": True}, "packing=True requires max_length"),
        (PLAIN, {"packing": True, "max_length": 8, "packing_strategy": "wrapped"}, "answers would lose their prompt"),
        (PLAIN, {"packing": True, "max_length": 8, "packing_strategy": "bfd_split"}, "answers would lose their prompt"),
        (
            PLAIN,
            {"eval_packing": True, "max_length": 8},
            "eval_packing=True without packing=True: trl ignores seq_lengths",
        ),
        (PLAIN, {"eval_packing": True, "padding_free": True}, "eval_packing=True requires max_length"),
        (
            PLAIN,
            {"eval_packing": True, "max_length": 8, "packing_strategy": "wrapped"},
            "answers would lose their prompt",
        ),
        (PLAIN, {"chat_template_path": "other.jinja"}, "the saved template would not be that of the rows"),
        (PLAIN, {"max_length": "50"}, "max_length must be a whole number of tokens, not '50'"),
        (PLAIN, {"max_length": True}, "max_length must be a whole number of tokens, not True"),
        (PLAIN, {"padding_free": True, "max_length": 8}, "max_length with padding_free=True and without packing"),
        (PLAIN, {"truncation_mode": "keep_end"}, "removes the prompt of an answer"),
        (PLAIN, {"dataset_text_field": "text"}, "dataset_text_field has no effect"),
        (PLAIN, {"max_lenght": 2}, "did you mean 'max_length'"),
        (PACKED, {"packing": True, "max_length": 8}, "drops their seq_lengths"),
        (PACKED, {"eval_packing": True}, "drops their seq_lengths"),
        (PACKED, {"padding_free": False}, "trl ignores seq_lengths"),
        (PACKED, {"max_length": 8}, "max_length with padding_free=True and without packing"),
        (without(PLAIN, "labels"), {}, "trl would train all tokens"),
        (without(PLAIN, "labels", completion_mask=[[0, 1, 1], [0, 1]]), {}, "trl ignores completion_mask"),
        (without(PLAIN, "labels", labels=[[-100, 2], [-100, 5]]), {}, "row 0 has 3 tokens and 2 labels"),
        (without(PLAIN, "labels", labels=[[-100, 2, 3], [-100, -100]]), {}, "row 1 has no token to train"),
        (without(PLAIN, "labels", assistant_masks=[[0, 1], [0, 1]]), {}, "row 0 has 3 tokens and 2 assistant_masks"),
        (without(PLAIN, "labels", assistant_masks=[[0, 1, 1], [0, 0]]), {}, "row 1 has no token to train"),
        (
            without(PLAIN, "labels", completion_mask=[[0, 1, 1], [0]]),
            {"completion_only_loss": True},
            "row 1 has 2 tokens and 1 completion_mask",
        ),
        (
            without(PLAIN, "labels", completion_mask=[[0, 0, 1], [0, 1]], assistant_masks=[[0, 1, 0], [0, 1]]),
            {"completion_only_loss": True},
            "row 0 has no token to train",
        ),
        ({"input_ids": [], "labels": []}, {}, "there are no rows to train on"),
        ({"messages": [[{"role": "user", "content": "?"}]]}, {}, "a template of its choice"),
    ],
)
def test_it_is_refused(columns: dict[str, Any], options: dict[str, Any], problem: str, tmp_path: Any) -> None:
    with pytest.raises(UsageError, match=problem) as caught:
        config(columns, output_dir=str(tmp_path), **options)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("columns", "options"),
    [
        (PLAIN, {}),
        (PLAIN, {"max_length": 3}),
        (PLAIN, {"packing": True, "max_length": 8}),
        (PLAIN, {"packing": True, "eval_packing": True, "max_length": 8}),
        (PLAIN, {"padding_free": True}),
        (PACKED, {}),
        (without(PLAIN, "labels", completion_mask=[[0, 1, 1], [0, 1]]), {"completion_only_loss": True}),
        (without(PLAIN, "labels", assistant_masks=[[0, 1, 1], [0, 1]]), {}),
        (without(PLAIN, completion_mask=[[0, 0, 0], [0]]), {}),
        (without(PLAIN, assistant_masks=[[0, 0, 0], [0]]), {}),
    ],
)
def test_settings_that_trl_honors_are_accepted(columns: dict[str, Any], options: dict[str, Any], tmp_path: Any) -> None:
    made = config(columns, output_dir=str(tmp_path), **options)
    assert made.max_length == options.get("max_length")
    assert made.padding_free == options.get("padding_free", "seq_lengths" in columns)


def test_a_stream_of_rows_is_refused(tmp_path: Any) -> None:
    from datasets import Dataset

    from chattmpl.training.adapter import sft_config

    with pytest.raises(UsageError, match="the rows are a stream"):
        sft_config(Dataset.from_dict(PLAIN).to_iterable_dataset(), output_dir=str(tmp_path))
