"""Holds one session with Google's SDK for Python: session.py FAMILY PORT PCM OUT, prints what it saw as JSON."""

import asyncio
import json
import sys

from google import genai
from google.genai import types

CHUNK = 3200  # 100 ms of 16 kHz PCM


def config(family, handle):
    common = dict(
        response_modalities=["AUDIO"],
        input_audio_transcription={},
        output_audio_transcription={},
        session_resumption={"handle": handle} if handle else {},
        context_window_compression={"trigger_tokens": 104857, "sliding_window": {"target_tokens": 52428}},
    )
    if family == "translate":
        return types.LiveConnectConfig(
            translation_config={"target_language_code": "es", "echo_target_language": False}, **common)
    return types.LiveConnectConfig(
        system_instruction="Interpret into Spanish.",
        realtime_input_config={
            "automatic_activity_detection": {"disabled": True},
            "activity_handling": "NO_INTERRUPTION",
        },
        **common)


async def send(session, family, pcm):
    """Sound at its own pace, then silence; the dialogue family has it in one window."""
    if family == "dialogue":
        await session.send_realtime_input(activity_start={})
    clock = asyncio.get_running_loop().time
    start = clock()
    for number, offset in enumerate(range(0, len(pcm), CHUNK)):
        blob = types.Blob(data=pcm[offset:offset + CHUNK], mime_type="audio/pcm;rate=16000")
        await session.send_realtime_input(audio=blob)
        await asyncio.sleep(max(0, start + (number + 1) * 0.1 - clock()))
    if family == "dialogue":
        await session.send_realtime_input(activity_end={})
        return
    while True:
        await session.send_realtime_input(audio=types.Blob(data=bytes(CHUNK), mime_type="audio/pcm;rate=16000"))
        await asyncio.sleep(0.1)


async def receive(session, family, seen, audio):
    """Until the service has said goAway, the dialogue's turn is over, and there is a new handle to go on with."""
    go_away = turns = False
    resumed = seen["handle"]

    def is_done():
        return go_away and (turns or family == "translate") and seen["handle"] != resumed

    while not is_done():
        async for message in session.receive():
            if message.go_away:
                seen["go_away"].append(message.go_away.time_left)
                go_away = True
            update = message.session_resumption_update
            if update and update.resumable and update.new_handle:
                seen["handle"] = update.new_handle
            if message.usage_metadata:
                seen["usage"] += 1
            content = message.server_content
            if content:
                for part in (content.model_turn.parts if content.model_turn else None) or []:
                    if part.inline_data:
                        audio.extend(part.inline_data.data)
                if content.input_transcription:
                    seen["input"] += content.input_transcription.text or ""
                if content.output_transcription:
                    seen["output"] += content.output_transcription.text or ""
                seen["generation_complete"] += bool(content.generation_complete)
                turns |= bool(content.turn_complete)
                seen["turn_complete"] += bool(content.turn_complete)
            if is_done():
                return


async def main():
    family, port, pcm_file, out_file = sys.argv[1:5]
    model = "gemini-3.5-live-translate-preview" if family == "translate" else "gemini-3.8-live"
    pcm = open(pcm_file, "rb").read()
    half = len(pcm) // 2
    client = genai.Client(
        api_key="SDK_TEST_KEY", http_options={"base_url": f"https://localhost:{port}", "api_version": "v1beta"})
    seen = {"go_away": [], "handle": None, "usage": 0, "input": "", "output": "", "generation_complete": 0,
            "turn_complete": 0, "sessions": 0}
    audio = bytearray()
    for piece in (pcm[:half], pcm[half:]):
        async with client.aio.live.connect(model=model, config=config(family, seen["handle"])) as session:
            seen["sessions"] += 1
            sender = asyncio.create_task(send(session, family, piece))
            await receive(session, family, seen, audio)
            sender.cancel()
            try:
                await sender
            except asyncio.CancelledError:
                pass
    open(out_file, "wb").write(audio)
    print(json.dumps(seen))


asyncio.run(main())
