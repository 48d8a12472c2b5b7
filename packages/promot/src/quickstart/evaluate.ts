// A model of the quickstart on all its tasks.
import { evaluateLoaded, type TaskResult, targetForm } from '@promot/core/evaluation';
import { openModel, openPrompt } from '@promot/core/open';
import { loadTask } from '@promot/core/tasks';
import { evaluation, others, shots, target } from './setup.js';

export interface EvaluateRequest {
  readonly model: string;
  /** Attached for the target alone. */
  readonly prompt?: string;
}

/** The target task first, with the prompt where there is one; then the other tasks, without. */
export async function evaluateAll(
  { model, prompt: promptPath }: EvaluateRequest,
  onProgress: (done: number, total: number) => void,
): Promise<TaskResult[]> {
  const tasks = await Promise.all([target, ...others].map((name) => loadTask(name)));
  const [own, ...rest] = tasks;
  const form = await targetForm(own!, rest);
  const loaded = await openModel(model, 'float32');
  const prompt = promptPath === undefined ? undefined : openPrompt(promptPath, loaded.model);
  try {
    const results: TaskResult[] = [];
    for (const [i, task] of tasks.entries()) {
      const asked = task === own ? { shots: 0, prompt } : { shots, forms: [form] };
      results.push(await evaluateLoaded(loaded, task, { ...evaluation, ...asked }));
      onProgress(i + 1, tasks.length);
    }
    return results;
  } finally {
    prompt?.dispose();
    loaded.dispose();
  }
}
