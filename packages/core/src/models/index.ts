// What the room `models` offers to the packages above.

export { type AddedToken, addTokens } from './add-tokens.js';
export { chatTemplate } from './chat.js';
export { chooseDevice, type DeviceSetting, multipliesBf16 } from './device.js';
export type { Family } from './families/family.js';
export { families } from './families/index.js';
export type { LinearPlace, Role } from './linear-place.js';
export { buildModel, familyOf, type LoadedModel, loadedModel, loadFolder } from './load.js';
export { type Ids, type LanguageModel, type ModelShape, predictedIds, type TokenizedExample } from './model.js';
export { idTensor } from './padding.js';
export { type SaveOptions, saveModel } from './save.js';
export { joinedTarget, tokenizeExample, tokenizeInput } from './tokenize.js';
export { type Initial, RandomWeights, Weights } from './weights.js';
