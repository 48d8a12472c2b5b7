// Libtorch for a command: set up on this machine where it is not yet, and this process tuned for it.

/** Begins to load libtorch, beside what a command does before it makes tensors. */
export async function beginTorch(): Promise<void> {
  const { preload } = await import('@promot/torch/setup');
  preload();
}

/** Every command that makes tensors calls this first. Throws SetupError where libtorch cannot be had. */
export async function useTorch(): Promise<void> {
  const { endPreload, ensureAddon } = await import('@promot/torch/setup');
  await ensureAddon();
  const { tuneProcess } = await import('@promot/torch');
  tuneProcess();
  void endPreload();
}
