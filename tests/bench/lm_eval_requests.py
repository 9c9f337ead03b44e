"""Log-probs by lm-evaluation-harness, in an environment of its own.

    PYTHON tests/bench/lm_eval_requests.py MODEL_FOLDER

Started by bench_belebele.py. Each line of standard input is a JSON list of (context,
continuation) pairs; each line of standard output tells what came of it: log-probs, the
tokens of both, seconds of the clock and of the processor. The first line of output says
which version answers.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from importlib import metadata

from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM


def main() -> None:
    """Answers until the input ends."""
    out = sys.stdout
    # Whatever the library prints must not mix with the answers.
    with contextlib.redirect_stdout(sys.stderr):
        model = HFLM(
            pretrained=sys.argv[1], device="cpu", dtype="float32", batch_size=8
        )
        print(
            json.dumps({"version": metadata.version("lm_eval")}), file=out, flush=True
        )
        for line in sys.stdin:
            pairs = json.loads(line)
            requests = [
                Instance("loglikelihood", {}, (context, continuation), index)
                for index, (context, continuation) in enumerate(pairs)
            ]
            clock, processor = time.perf_counter(), time.process_time()
            found = model.loglikelihood(requests, disable_tqdm=True)
            answer = {
                "clock": time.perf_counter() - clock,
                "processor": time.process_time() - processor,
                "log_probs": [log_prob for log_prob, _ in found],
                "token_ids": [model._encode_pair(*pair) for pair in pairs],
            }
            print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main()
