/**
 * The exports of the package: `strangle()`, the proxy as a Koa middleware, and its types.
 */
import type { Strangle } from './embedding.ts'
import { strangle as mounted } from './mount.ts'

export type {
  AccessLog,
  StrangleApplication,
  StrangleContext,
  StrangleLog as ControlLog,
  StrangleMiddleware,
  StrangleOptions,
} from './embedding.ts'
export { StartError } from './start-error.ts'

// Its type is named, so that the declarations of the package lead to no other file.
export const strangle: Strangle = mounted
