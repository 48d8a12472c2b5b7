"""Adafactor with T5X's semantics, as an independent reference for promot's optimizer.

Written from the paper (Shazeer and Stern, 2018, https://arxiv.org/abs/1804.04235) and the documented behaviour of T5X's
optimizer: no momentum, no weight decay, decay 1 - (t + 1)^-0.8, eps 1e-30 added to the squared gradient and 1e-3 the least
parameter scale, updates clipped to an RMS of 1. A matrix is factored only where both of its sides are 128 or more.
"""

import torch

SQUARED_GRADIENT_EPSILON = 1e-30
LEAST_PARAMETER_SCALE = 1e-3
LEAST_FACTORED_SIDE = 128


def rms(x):
    return x.square().mean().sqrt()


class Adafactor:
    """parameters: name -> tensor with `.grad`. `first_step` is the t of the first update."""

    def __init__(self, parameters, learning_rate, factored, parameter_scaled, first_step=0):
        self.parameters = dict(parameters)
        self.learning_rate = learning_rate
        self.factored = factored
        self.parameter_scaled = parameter_scaled
        self.t = first_step
        self.moments = {}

    def is_factored(self, p):
        return self.factored and p.dim() == 2 and min(p.shape) >= LEAST_FACTORED_SIDE

    @torch.no_grad()
    def step(self):
        fresh = (self.t + 1.0) ** -0.8  # the weight of this step's squared gradient: 1 - decay
        for name, p in self.parameters.items():
            squared = p.grad.square() + SQUARED_GRADIENT_EPSILON
            if self.is_factored(p):
                row, column = self.moments.get(name, (torch.zeros_like(squared[:, 0]), torch.zeros_like(squared[0])))
                row = (1.0 - fresh) * row + fresh * squared.mean(dim=1)
                column = (1.0 - fresh) * column + fresh * squared.mean(dim=0)
                self.moments[name] = (row, column)
                update = p.grad * (row / row.mean()).rsqrt()[:, None] * column.rsqrt()[None, :]
            else:
                second = (1.0 - fresh) * self.moments.get(name, torch.zeros_like(squared)) + fresh * squared
                self.moments[name] = second
                update = p.grad * second.rsqrt()
            update = update / rms(update).clamp(min=1.0)
            scale = rms(p).clamp(min=LEAST_PARAMETER_SCALE) if self.parameter_scaled else 1.0
            p -= self.learning_rate * scale * update
        self.t += 1


def assert_equals_transformers():
    """Where the two agree by definition (large matrices factored; a prompt seen as one vector) they must give equal numbers."""
    from transformers.optimization import Adafactor as Peer

    generator = torch.Generator().manual_seed(7)
    for shape, learning_rate, factored in (((160, 144), 1e-3, True), ((5 * 128,), 0.3, False), ((144,), 1e-3, True)):
        start = torch.randn(shape, generator=generator)
        ours, theirs = start.clone().requires_grad_(), start.clone().requires_grad_()
        mine = Adafactor({"p": ours}, learning_rate, factored, parameter_scaled=factored)
        peer = Peer([theirs], lr=learning_rate, eps=(1e-30, 1e-3), clip_threshold=1.0, decay_rate=-0.8, beta1=None,
                    weight_decay=0.0, scale_parameter=factored, relative_step=False, warmup_init=False)
        for _ in range(10):
            gradient = torch.randn(shape, generator=generator) * torch.rand(shape, generator=generator)
            ours.grad, theirs.grad = gradient.clone(), gradient.clone()
            mine.step()
            peer.step()
        assert not torch.equal(start, ours.detach())
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
