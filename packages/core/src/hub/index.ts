// What the room `hub` offers to the packages above.
export { type HubOptions, hubSnapshot, isHubName } from './snapshot.js';
