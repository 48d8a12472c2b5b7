// For the scripts of this repository alone: what they use beside the public entries.
export * from './index.js';
export { native } from './native.js';
export { prebuild } from './setup/prebuild.js';
export { readStamp } from './setup/stamp.js';
