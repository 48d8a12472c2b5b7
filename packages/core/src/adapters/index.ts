// What the room `adapters` offers to the packages above.
export { writePromptAdapter } from './peft.js';
