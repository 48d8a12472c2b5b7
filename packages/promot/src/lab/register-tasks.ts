// Tells the library of the lab's tasks, so that `--task lab-rte` finds one. Import it for that effect.
import { namedTasks } from '@promot/core/tasks';
import { loadLabTask, VERSION } from './load.js';
import { LAB_TASKS, type LabTaskName } from './tasks.js';

for (const name of Object.keys(LAB_TASKS) as LabTaskName[]) {
  namedTasks.add({ name, version: VERSION, paperSettings: true, load: async () => loadLabTask(name) });
}
