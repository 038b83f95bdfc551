/**
 * What a writer of a configuration is given besides the table, and what it gives back.
 */
import type { Finding } from '../values/problem.ts'

/** What does not stand in the table. */
export interface Frame {
  /** Where the engine listens, HOST:PORT. */
  readonly listen: string
  /** The first lines of the file, as comments. */
  readonly head: readonly string[]
  /** A route in a comment: its line in the table, its id and its share. */
  routeText(index: number): string
}

/** A configuration, and what it does not say. */
export interface Written {
  readonly text: string
  readonly findings: readonly Finding[]
}
