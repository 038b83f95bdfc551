/**
 * The logger interface of the control plane, in the shape of pino.
 */

/** A logger such as pino. `fields` hold no secret: no token, no header field, no query. */
export interface ControlLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** Who asks for an edit and why, for the audit line. */
export interface Authorship {
  /** A token's name, `anonymous` where no token is asked for, or `file`. */
  readonly author: string
  /** In the operator's words, or null. */
  readonly reason: string | null
}
