// What the room `generation` offers to the packages above.
export { type ChatOptions, generateTurn, generateTurns } from './chat.js';
export { type Generated, type GenerateOptions, generate } from './generate.js';
export { checkSampling, draws, type SamplingSettings, samplingKeys } from './sampling.js';
export { type Scored, type ScoreOptions, score } from './score.js';
export { generateTexts, scoreText } from './texts.js';
