// What the room `open` offers to the packages above.
export { locateModel, type NamedModel, namedModels } from './locate.js';
export { type OpenOptions, openModel, openPrompt } from './open.js';
export { isTaskOfRun, taskBeside } from './run-task.js';
