/**
 * The exports of the package: `strangle()`, the proxy as a Koa middleware, and its types.
 */
export type { ControlLog } from './control/control-log.ts'
export { type StrangleApplication, type StrangleMiddleware, type StrangleOptions, strangle } from './mount.ts'
export type { AccessLog } from './proxy/observe.ts'
export { StartError } from './start-error.ts'
