// Libtorch for a command: set up on this machine where it is not yet, and this process tuned for it.

/** Every command that makes tensors calls this first. Throws SetupError where libtorch cannot be had. */
export async function useTorch(): Promise<void> {
  const { ensureAddon } = await import('@promot/torch/setup');
  await ensureAddon();
  const { tuneProcess } = await import('@promot/torch');
  tuneProcess();
}
