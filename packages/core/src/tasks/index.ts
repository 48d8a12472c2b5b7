// What the room `tasks` offers to the packages above.

export type { Choice, Choices } from './choices.js';
export { type Conversation, type Message, readMessages } from './conversation.js';
export { exemplarSeparator, joinExemplars } from './few-shot.js';
export { answerOf, object, text, texts } from './fields.js';
export { harnessTasks } from './harness/index.js';
export { type NewTask, type NewTaskRequest, newTask, safeName } from './new-task.js';
export { threeWayInput } from './paper/families.js';
export { openbookqa } from './paper/openbookqa.js';
export { paperClassification, paperOutput, trimOutput } from './paper/output.js';
export { rte } from './paper/rte.js';
export { wic } from './paper/wic.js';
export { builtinTasks, type LoadTaskOptions, loadTask, type NamedTask, namedTasks, registerTask } from './registry.js';
export { createTask, type Example, fingerprintExamples, type Task, type TaskDefinition } from './task.js';
