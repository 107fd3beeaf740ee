"""The unmodified Google SDK's async methods over REST, against a server, with the base models.

    python async_flow.py SERVER

Runs in an environment of its own; SDKs of before async REST existed (and those without aiohttp) cannot do this.
"""

from __future__ import annotations

import asyncio
import sys

from tunesmith import vertex_compat

vertex_compat.init(sys.argv[1], project="myproject", location="us-central1")

from vertexai.language_models import CodeChatModel, CodeGenerationModel  # noqa: E402


def said(what: str) -> None:
    print("ok", what, flush=True)


async def main() -> None:
    code = CodeGenerationModel.from_pretrained("code-bison@002")
    prefix = "Write the code in Python: add 3 to x"
    greedy = code.predict(prefix, max_output_tokens=8, temperature=0).text

    answers = await asyncio.gather(
        *(code.predict_async(prefix, max_output_tokens=8, temperature=0) for _ in range(4)),
    )
    assert [answer.text for answer in answers] == [greedy] * 4, answers
    said("predict_async, four at once")

    pieces = [piece.text async for piece in code.predict_streaming_async(prefix, max_output_tokens=8, temperature=0)]
    assert "".join(pieces) == greedy, pieces
    said("predict_streaming_async")

    chat = CodeChatModel.from_pretrained("codechat-bison@002").start_chat(max_output_tokens=8)
    await chat.send_message_async("what is 3 plus 1?")
    assert len(chat.message_history) == 2
    said("send_message_async")

    async for _ in chat.send_message_streaming_async("and 4 plus 1?"):
        pass
    assert len(chat.message_history) == 4
    said("send_message_streaming_async")


asyncio.run(main())
