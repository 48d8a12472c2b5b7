// Tells the library of the lab's tasks and models, so that `--task lab-rte` and `--model lab` find them. Import it for
// that effect.
import './register-tasks.js';
import { namedModels } from '@promot/core/open';
import { labModelNames, presentLabModel } from './models.js';

for (const name of labModelNames) namedModels.add({ name, folder: () => presentLabModel(name) });
