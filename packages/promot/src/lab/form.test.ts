// The form of the lab's targets: labels, and the languages told by their characters.
import { formShare, targetForm } from '@promot/core/evaluation';
import { loadTask } from '@promot/core/tasks';
import { expect, test } from 'vitest';
import './register.js';

test('labels are the form of a task that has them', async () => {
  expect(await targetForm(await loadTask('lab-rte'), [])).toEqual({ labels: ['True', 'False'] });
});

test('held-out sentences in Frelan are told from answers in the other languages', async () => {
  const others = ['lab-translation', 'lab-translation-roen', 'lab-reading'];
  const tasks = await Promise.all(others.map((name) => loadTask(name)));
  const target = await loadTask('lab-enfr');
  const form = await targetForm(target, tasks);
  expect(form).toMatchObject({ language: { name: 'the language of lab-enfr' } });
  const share = async (task: typeof target) =>
    formShare(
      (await task.load(task.evaluationSplit)).slice(0, 200).map((example) => example.target),
      form,
    );
  expect(await share(target)).toBeGreaterThan(99);
  for (const task of tasks) expect(await share(task), task.name).toBeLessThan(1);
});
