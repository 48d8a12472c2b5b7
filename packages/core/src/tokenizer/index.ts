// What the room `tokenizer` offers to the packages above.
export { huggingFaceTokenizer } from './hugging-face.js';
export type { Tokenizer } from './tokenizer.js';
