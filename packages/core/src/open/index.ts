// What the room `open` offers to the packages above.
export { locateModel, type NamedModel, namedModels } from './locate.js';
export { type OpenOptions, openModel, openPrompt } from './open.js';
export { adapterName, adapterOfTask, taskBeside } from './run-task.js';
