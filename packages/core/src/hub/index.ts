// What the room `hub` offers to the packages above.
export { isHubName } from './repository.js';
export type { HubOptions } from './settings.js';
export { hubSnapshot } from './snapshot.js';
