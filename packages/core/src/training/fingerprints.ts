// What a run's result depends on beside its settings, as hashes: a run that goes on needs the same.
import { startsFromAdapter } from '../adapters/soft-prompt.js';
import type { Fingerprints } from '../artifacts/run-file.js';
import { UserError } from '../base/errors.js';
import { evaluationExamples } from '../evaluation/evaluate-loaded.js';
import { uses } from '../methods/index.js';
import { fingerprintPrompt } from '../open/fingerprint.js';
import { type Example, fingerprintExamples, type Task } from '../tasks/task.js';
import type { RunSetup } from './setup.js';

/**
 * Hashes the adapter that the prompt starts from, and the examples of all tasks. `model`: what the base model's files
 * give, which may be on its way.
 */
export async function fingerprintsOf(model: Promise<string>, setup: RunSetup): Promise<Fingerprints> {
  const { config, method, tasks, replayTasks, keepTasks } = setup;
  const { promptInit } = config;
  const { shots, limit } = config.keep;
  const asked = async (task: Task): Promise<readonly Example[]> => [
    ...(await evaluationExamples(task, { limit: limit || undefined })),
    ...(shots > 0 ? await task.load('train') : []),
  ];
  return {
    model: await model,
    ...(uses(method, 'prompt') && startsFromAdapter(promptInit) && { promptInit: await fingerprintPrompt(promptInit) }),
    tasks: await each(
      tasks.map(({ task }) => task),
      async (_, i) => [...tasks[i]!.examples.examples, ...tasks[i]!.validation],
    ),
    replay: await each(replayTasks, (task) => task.load('train')),
    keep: await each(keepTasks, asked),
  };
}

async function each(
  tasks: readonly Task[],
  examplesOf: (task: Task, i: number) => Promise<readonly Example[]>,
): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {};
  for (const [i, task] of tasks.entries())
    hashes[task.name] = `${task.version} ${fingerprintExamples(await examplesOf(task, i))}`;
  return hashes;
}

/**
 * Throws UserError with the name of what is not as it was when a run began. Runs of earlier versions do not say all.
 */
export function checkFingerprints(before: Fingerprints, now: Fingerprints, out: string): void {
  const differ = [
    ...(before.model !== undefined && before.model !== now.model ? ['the base model (its files)'] : []),
    ...(before.promptInit !== undefined && before.promptInit !== now.promptInit
      ? ['the adapter of promptInit (its files)']
      : []),
    ...(['tasks', 'replay', 'keep'] as const).flatMap((kind) =>
      Object.entries(before[kind])
        .filter(([task, hash]) => now[kind][task] !== hash)
        .map(([task]) => `task ${task}${kind === 'tasks' ? '' : ` of ${kind}.tasks`} (its template or its data)`),
    ),
  ];
  if (differ.length > 0)
    throw new UserError(
      `${out}: ${differ.join(', ')} ${differ.length === 1 ? 'is' : 'are'} not what it was when the run began: ` +
        'bring it back to resume, or name another folder',
      { code: 'changed' },
    );
}
