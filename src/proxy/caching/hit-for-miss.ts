/**
 * Hit-for-miss: remembers which responses could not be shared, so that requests for them are not collapsed for a while.
 */
import { tellingFields } from '../../rules/caching/resource.ts'
import type { Lookup } from './lookup.ts'

const MARK_MS = 120_000
const MAX_MARKS = 10_000

/**
 * Why requests are not collapsed.
 *
 * - `unstored`: the response was not stored
 * - `revalidated`: it was, and each use needs validation
 */
export type Unshareable = 'unstored' | 'revalidated'

interface Mark {
  readonly why: Unshareable
  readonly untilMs: number
}

/** The marks of one process, oldest first. */
export class HitForMiss {
  readonly #now: () => number
  /** By collapse key. */
  readonly #marks = new Map<string, Mark>()

  /** @param now epoch milliseconds */
  constructor(now: () => number) {
    this.#now = now
  }

  /** Nothing is marked: the names of marks need not be composed. */
  get isEmpty(): boolean {
    return this.#marks.size === 0
  }

  mark(collapseKey: string, why: Unshareable): void {
    this.#marks.delete(collapseKey)
    this.#marks.set(collapseKey, { why, untilMs: this.#now() + MARK_MS })
    if (this.#marks.size > MAX_MARKS) this.#marks.delete(this.#marks.keys().next().value as string)
  }

  unmark(collapseKey: string): void {
    this.#marks.delete(collapseKey)
  }

  /** Why requests are not collapsed, or null where they are. */
  find(collapseKey: string): Unshareable | null {
    const mark = this.#marks.get(collapseKey)
    if (mark === undefined) return null
    if (this.#now() < mark.untilMs) return mark.why
    this.#marks.delete(collapseKey)
    return null
  }
}

/**
 * The fields by which an upstream may tell who is asking. What somebody who is known gets may well be for nobody else; that says
 * nothing about who is known by other fields, or by none.
 */
export function askerOf({ fields }: Lookup): string {
  return tellingFields(fields)
}
