// Tells the library of the lab's tasks and models, so that `--task lab-rte` and `--model lab` find them. Import it for that effect.
import { namedModels } from '@promot/core/open';
import { namedTasks } from '@promot/core/tasks';
import { loadLabTask, VERSION } from './load.js';
import { labModelNames, presentLabModel } from './models.js';
import { LAB_TASKS, type LabTaskName } from './tasks.js';

for (const name of labModelNames) namedModels.add({ name, folder: () => presentLabModel(name) });
for (const name of Object.keys(LAB_TASKS) as LabTaskName[]) {
  namedTasks.add({ name, version: VERSION, load: async () => loadLabTask(name) });
}
