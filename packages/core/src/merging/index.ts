// What the room `merging` offers to the packages above.
export { type Interpolated, type InterpolateRequest, interpolate } from './interpolate.js';
export { type Merged, type MergeRequest, mergeLora } from './merge.js';
