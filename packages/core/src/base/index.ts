// What the room `base` offers to the packages above.
export { type DeviceSetting, useDevice } from './device.js';
export { UserError } from './errors.js';
export { lockFolder } from './lock.js';
export { didYouMean, nearestNames } from './nearest-name.js';
export { permutation, RandomStream } from './random.js';
export { version } from './version.js';
export { writeText } from './write.js';
