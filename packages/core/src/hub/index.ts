// What the room `hub` offers to the packages above.
export { type HubOptions, type HubProgress, hubSnapshot, isHubName } from './snapshot.js';
