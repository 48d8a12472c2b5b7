"""The training loss of promot, as T5X states it: label smoothing with its constant taken off, and z-loss."""

import math

import torch


def token_losses(logits, targets, label_smoothing=0.0, z_loss=0.0):
    """Loss of each target token [N] from logits [N, V] and target ids [N].

    The wanted distribution is 1 - e on the target and e / (V - 1) on each other of the V rows; its entropy is taken off,
    so that a perfect prediction costs 0. z-loss adds z * log(sum(exp(logits)))^2.
    """
    rows = logits.shape[-1]
    high, low = 1.0 - label_smoothing, label_smoothing / (rows - 1)
    log_z = torch.logsumexp(logits, dim=-1)
    log_p = logits - log_z[:, None]
    wanted = torch.full_like(log_p, low).scatter_(1, targets[:, None], high)
    entropy = -(high * math.log(high) + ((rows - 1) * low * math.log(low) if low > 0 else 0.0))
    return -(wanted * log_p).sum(dim=-1) - entropy + z_loss * log_z.square()


def mean_loss(logits, targets, label_smoothing=0.0, z_loss=0.0):
    return token_losses(logits, targets, label_smoothing, z_loss).mean()
