/**
 * What a purge has done, in words.
 */
import type { PurgeAnswer } from '../../answers/cache.ts'
import { countText } from '../format.ts'

/** A sentence or two. @param answer of the API */
export function purgedText(answer: unknown): string {
  const { entries, shared, why, note } = answer as PurgeAnswer
  const count = entries === null ? 'Purged.' : `Purged: ${countText(entries)} in memory.`
  const rest = [note, shared ? undefined : `Other instances may follow later: ${why ?? 'Redis is not reachable'}`]
  return [count, ...rest.filter((text) => text !== undefined).map((text) => `${text}.`)].join(' ')
}
