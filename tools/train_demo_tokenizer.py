"""Train the demo tokenizer: a byte-level BPE with a few thousand merges that ships with the library.

It shows tokens and masks without a download. No model is trained on it, so its training text is generated here: plain
sentences, dialogues, code, JSON and numbers, drawn from word lists with a fixed seed. The control tokens of all shipped
families are added tokens; frame tokens are special and those within an answer (``<think>``) are not, as in Qwen's
tokenizer.

    python tools/train_demo_tokenizer.py            writes chattmpl/encode/demo_tokenizer.json
    python tools/train_demo_tokenizer.py --check    exits with 1 if the file is out of date
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

TARGET = Path(__file__).parents[1] / "chattmpl" / "encode" / "demo_tokenizer.json"
VOCABULARY = 3072
SENTENCES = 12_000

# Words with their punctuation and leading space, numbers digit by digit, runs of newlines apart from what follows.
PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+\n*|\s*\n+|\s+(?!\S)|\s+"

SPECIAL = (
    # every ChatML-like family
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>",
    # Llama 3.1
    "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>",
    "<|python_tag|>",
    # Gemma 3
    "<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<end_of_image>", "<image_soft_token>",
    # DeepSeek R1
    "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>",
    # Command A
    "<BOS_TOKEN>", "<EOS_TOKEN>", "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|SYSTEM_TOKEN|>",
    "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>", "<|START_THINKING|>", "<|END_THINKING|>", "<|START_RESPONSE|>",
    "<|END_RESPONSE|>", "<|START_ACTION|>", "<|END_ACTION|>", "<|START_TOOL_RESULT|>", "<|END_TOOL_RESULT|>",
    "<|START_OF_IMG|>", "<|END_OF_IMG|>", "<|IMG_PATCH|>",
    # GPT-OSS
    "<|startoftext|>", "<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|call|>", "<|return|>",
    # images and video in ChatML-like families
    "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip

PLAIN = (
    "<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<code>", "</code>",
    "<tools>", "</tools>", "<documents>", "</documents>",
    "<｜User｜>", "<｜Assistant｜>", "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>",
    "<｜tool▁call▁end｜>", "<｜tool▁outputs▁begin｜>", "<｜tool▁outputs▁end｜>", "<｜tool▁output▁begin｜>",
    "<｜tool▁output▁end｜>", "<｜tool▁sep｜>",
)  # fmt: skip


def _words(text: str) -> list[str]:
    return text.split()


NOUNS = _words("""
    answer question weather city river mountain table kitchen garden window letter number list word sentence
    paragraph story song picture colour morning evening night week month year hour minute second day summer winter
    spring autumn rain snow wind storm cloud sun moon star sky sea ocean island beach lake forest tree leaf flower
    apple bread water coffee tea milk sugar salt soup recipe oven plate cup bottle knife spoon meal dinner lunch
    breakfast restaurant hotel room door floor wall roof house street road bridge train bus car bicycle ship airport
    flight ticket passport journey map country language people person man woman child friend family mother father
    sister brother teacher student school class lesson book page chapter library science history music art theatre
    film game team player ball match goal doctor nurse hospital medicine health heart hand head eye ear foot body
    dog cat bird horse fish animal farm market shop price money bank account payment order customer company office
    manager worker job project plan meeting report email phone computer keyboard screen program function variable
    parameter argument value string integer object array loop condition test error message result file folder line
    column token model template prompt reply tool call schema data set training example batch loss mask gradient
    layer weight network system user assistant context memory search query document source reference link page title
    summary detail fact reason idea problem solution step method rule law question mark point part side end start
    middle top bottom centre edge corner square circle triangle angle length width height depth speed distance time
    temperature degree metre kilometre litre gram percent half third quarter dozen hundred thousand million sum
    difference product fraction equation proof theorem experiment energy light sound force field planet Paris London
    Berlin Tokyo Madrid Rome Europe Africa Asia America Monday Friday January July
""")

VERBS = _words("""
    is was has had does makes takes gives finds keeps tells asks answers calls returns reads writes opens closes
    starts stops runs walks moves turns shows hides helps needs wants likes knows thinks believes remembers forgets
    learns teaches explains describes compares checks counts adds removes changes replaces copies sends receives
    buys sells pays costs saves loads builds breaks repairs cooks bakes eats drinks grows plants waters cleans
    paints draws sings plays wins loses meets visits leaves arrives travels flies drives rides carries holds drops
    lifts pushes pulls cuts joins divides measures weighs predicts samples trains encodes renders parses prints
    computes converts searches follows leads means contains includes becomes remains happens works sleeps wakes
    looks sees hears feels touches
""")

ADJECTIVES = _words("""
    good bad new old young big small large little long short high low wide narrow deep heavy light fast slow early
    late hot cold warm cool dry wet clean dirty bright dark loud quiet soft hard strong weak rich poor cheap
    expensive free busy easy difficult simple complex clear exact right wrong true false same different similar
    important useful common rare special general local public private possible likely certain ready open closed full
    empty whole broken red green blue yellow black white brown grey round flat sharp sweet bitter fresh happy sad
    kind careful quick honest
""")

ADVERBS = _words("""
    always often sometimes never usually quickly slowly carefully today tomorrow yesterday here there now then again
    already still almost only also together alone really very quite rather well badly easily exactly probably
""")

FUNCTION = _words("""
    the a an this that these those my your his her its our their some any every no each which what who where when
    why how and or but because if while although so than as of in on at to from with without for by about into over
    under between through during before after against I you he she it we they me him us them not can could will
    would shall should may might must do did have be been being there
""")

LONG = _words("""
    information international understanding temperature conversation generation reasoning retention tokenizer
    translation documentation configuration implementation environment application university government development
    education population communication organisation technology mathematics probability statistics distribution
    comparison explanation description instruction construction production introduction conclusion evaluation
    transformation representation approximation optimisation regularisation architecture performance experience
    knowledge management relationship responsibility opportunity availability compatibility
""")

GREETINGS = (
    "Hi! Hello there.",
    "Hey, how are you?",
    "Hi, can you help me, please?",
    "Yes, of course. No problem.",
    "yes",
    "no",
    "ok",
    "Thanks a lot!",
    "Thank you very much.",
    "You're welcome.",
    "Please be brief, concise and polite.",
    "You are a helpful assistant.",
    "Good morning, my name is Pip.",
    "Hmm, wait. Let me think step by step.",
    "Sorry, I can't do that.",
    "Goodbye!",
    "OK, done.",
    "Cutting Knowledge Date: December 2023",
    "Today Date: 26 Jul 2024",
    "Reasoning Mode: /think",
    "/no_think",
)

FOREIGN = (
    "Привет, мир! Как дела?",
    "こんにちは、世界。元気ですか?",
    "你好,世界。今天天气怎么样?",
    "¿Qué tal? Muy bien, gracias, señor.",
    "Grüße aus München: schönes Wetter, süße Äpfel.",
    "Où est la bibliothèque? Près du théâtre, à côté du café.",
    "Olá! Não há pão, só maçãs.",
    "naïve façade, déjà vu, rôle, Zürich, São Paulo, København, Łódź",
    "😀 🎉 👍 ❤️ ✓ → ° € £ … – — “quoted” ‘single’",
)


def sentences(draw: random.Random) -> Iterator[str]:
    """Yield plain sentences of a few patterns, with some dialogue."""
    for _ in range(SENTENCES):
        noun, other, third = (draw.choice(NOUNS) for _ in range(3))
        verb, second = (draw.choice(VERBS) for _ in range(2))
        adjective, adverb = draw.choice(ADJECTIVES), draw.choice(ADVERBS)
        small, long = draw.choice(FUNCTION), draw.choice(LONG)
        yield draw.choice(
            (
                f"The {adjective} {noun} {verb} the {other}. ",
                f"What {verb} {small} {noun}, and why does it {second.removesuffix('s')} {adverb}?\n",
                f"{noun.capitalize()} and {other} are {adjective}; the {long} of a {third} {verb} {adverb}.\n\n",
                f"I think that the {noun} {adverb} {verb} {small} {other}, so the answer is {draw.randint(0, 999)}. ",
                f"Let me check: {draw.randint(1, 99)} + {draw.randint(1, 99)} = {draw.randint(2, 198)}. "
                f"That's {adjective}.\n",
                f"- **{noun.capitalize()}**: {small} {adjective} {long} {small} {other}\n",
                f"{draw.randint(1, 9)}. {verb.capitalize()} the {noun} {draw.choice(FUNCTION)} {other}.\n",
                f'"I don\'t {verb.removesuffix("s")} it," {draw.choice(("he", "she"))} said, "but you\'re '
                f'{adjective}."\n',
                f"Okay, the user {verb} about the {noun}. I should {second.removesuffix('s')} {small} {long} first.\n",
                f"Sure! Here's {small} {adjective} {noun}, {adverb} with the {other}: it {verb} "
                f"{draw.randint(1900, 2030)} {third}s.\n",
            )
        )


def structures(draw: random.Random) -> Iterator[str]:
    """Yield JSON as in tool calls, Python, Markdown, and some text in other languages."""
    types = ("string", "integer", "number", "boolean", "object", "array")
    for _ in range(SENTENCES // 12):
        name, other, third = (draw.choice(NOUNS).lower() for _ in range(3))
        verb = draw.choice(VERBS).removesuffix("s")
        call = {"name": f"{verb}_{name}", "arguments": {other: draw.choice(NOUNS), third: draw.randint(0, 99)}}
        properties = {other: {"type": draw.choice(types), "description": f"The {draw.choice(ADJECTIVES)} {other}"}}
        function = {
            "name": f"{verb}_{name}",
            "description": f"{verb.capitalize()} a {name}.",
            "parameters": {"type": "object", "properties": properties, "required": [other]},
        }
        yield json.dumps(call) + "\n"
        yield json.dumps({"type": "function", "function": function}) + "\n"
        yield (
            json.dumps({"role": draw.choice(("system", "user", "assistant", "tool")), "content": f"{verb} {name}"})
            + "\n"
        )
        yield (
            f"```python\ndef {verb}_{name}({other}: str, {third}=None) -> int:\n"
            f'    """{verb.capitalize()} the {name}."""\n    for index, item in enumerate({other}):\n'
            f"        if item == {third} and index > {draw.randint(0, 9)}:\n            return len({other}) + index\n"
            f'    self.{name} = [x * 2 for x in {other}]\n    print(f"{name}: {{{third}}}")\n```\n\n'
        )
        yield f"let {name} = {other}::{verb}({third}); // {name}::{third}\n"
        yield f"# {name.capitalize()}\n\n| {other} | {third} |\n|---|---|\n| {draw.randint(0, 99)} | $x^2 + y$ |\n\n"
        yield draw.choice(FOREIGN).strip() + "\n"


def turns() -> Iterator[str]:
    """Yield greetings and the words in the frames of turns, often enough to become tokens."""
    yield from (f"{greeting}\n" * 20 + f" {greeting}" * 20 for greeting in GREETINGS)
    for role in (
        "system",
        "user",
        "assistant",
        "developer",
        "tool",
        "model",
        "ipython",
        "analysis",
        "commentary",
        "final",
    ):
        yield f"{role}\n" * 80 + f" {role}" * 80


def train() -> str:
    """Train the tokenizer and return the text of its file."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    draw = random.Random(20250710)
    tokenizer.train_from_iterator([*sentences(draw), *structures(draw), *turns()], trainer)
    tokenizer.add_special_tokens([AddedToken(content, normalized=False) for content in SPECIAL])
    tokenizer.add_tokens([AddedToken(content, normalized=False) for content in PLAIN])
    return json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":")) + "\n"


def main() -> int:
    """Write the file, or check it."""
    arguments = argparse.ArgumentParser(description="Train the demo tokenizer.")
    arguments.add_argument("--check", action="store_true", help="check whether the file is up to date")
    check = arguments.parse_args().check
    text = train()
    if check:
        same = TARGET.is_file() and TARGET.read_text(encoding="utf-8") == text
        print(f"{TARGET.name} is {'up to date' if same else 'OUT OF DATE'}")
        return 0 if same else 1
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text, encoding="utf-8")
    print(f"{TARGET.name}: {len(text.encode())} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
