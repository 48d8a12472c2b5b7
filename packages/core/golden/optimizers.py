"""References for the optimizers alone, on problems that any language can state: optimizers.json.

AdamW and SGD fit W in mean((X W - Y)^2) with torch.optim. Adafactor gets made-up parameters and gradients:
parameter element i starts at sin(i), its gradient at step s (from 0) is 0.01 * cos(i * (s + 1)), i counting row by row.
"""

import json

import torch

from adafactor import Adafactor

STEPS = 10


def fit(make_optimizer):
    generator = torch.Generator().manual_seed(3)
    x, y = torch.randn(5, 4, generator=generator), torch.randn(5, 3, generator=generator)
    w = torch.randn(4, 3, generator=generator).requires_grad_()
    out = {"x": x.tolist(), "y": y.tolist(), "w": w.tolist(), "losses": []}
    optimizer = make_optimizer([w])
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = (x @ w - y).square().mean()
        loss.backward()
        out["losses"].append(loss.item())
        optimizer.step()
    return {**out, "finalW": w.tolist()}


def adafactor(shape, factored, parameter_scaled, learning_rate, first_step):
    count = torch.Size(shape).numel()
    index = torch.arange(count, dtype=torch.float64)
    p = torch.sin(index).to(torch.float32).reshape(shape)
    optimizer = Adafactor({"p": p}, learning_rate, factored, parameter_scaled, first_step)
    for s in range(STEPS):
        p.grad = (0.01 * torch.cos(index * (s + 1))).to(torch.float32).reshape(shape)
        optimizer.step()
    return {"shape": shape, "factored": factored, "parameterScaled": parameter_scaled, "learningRate": learning_rate,
            "firstStep": first_step, "steps": STEPS, "isFactored": optimizer.is_factored(p),
            "firstElements": p.flatten()[:16].tolist(), "lastElements": p.flatten()[-16:].tolist(),
            "sum": p.double().sum().item(), "norm": p.double().norm().item()}


def write(path):
    adamw = dict(lr=0.05, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1)
    sgd = dict(lr=0.05, momentum=0.9, weight_decay=0.01)
    result = {
        "adamw": {"learningRate": 0.05, "betas": [0.9, 0.999], "epsilon": 1e-8, "weightDecay": 0.1,
                  **fit(lambda p: torch.optim.AdamW(p, **adamw))},
        "sgd": {"learningRate": 0.05, "momentum": 0.9, "weightDecay": 0.01, **fit(lambda p: torch.optim.SGD(p, **sgd))},
        "adafactor": [adafactor([130, 128], True, True, 1e-3, 0), adafactor([128, 127], True, True, 1e-3, 0),
                      adafactor([144], True, True, 1e-3, 0), adafactor([130, 128], True, True, 1e-3, 1_100_000),
                      adafactor([130, 128], False, False, 0.3, 0), adafactor([5, 128], False, False, 0.3, 1_100_000)],
    }
    path.write_text(json.dumps(result, separators=(",", ":")) + "\n")
