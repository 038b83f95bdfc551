/**
 * The purges as the release before this one (0.x until 997629a) shares them, so that instances of both can use one Redis: what
 * those of that release order is taken into the log, and what is ordered here is written for them.
 */
import { randomUUID } from 'node:crypto'
import { type Purge, readEarlierPurge } from '../../rules/caching/purge.ts'
import type { PurgeLog } from '../caching/purges.ts'
import type { RedisClient } from './client.ts'
import { Fault } from './faults.ts'
import { readInteger, readStream, readStreamId } from './replies.ts'

/** So many that release keeps and reads. */
const MAX_EARLIER = 1000

/** What it is made of. */
export interface EarlierLogParts {
  readonly client: RedisClient
  /** Of its stream. */
  readonly key: string
  readonly channel: string
  readonly purges: PurgeLog
  /** Told what is wrong with the key that another program has written, and what to do. */
  onForeign(message: string): void
}

/** The stream and the messages of the release before. */
export class EarlierLog {
  readonly #parts: EarlierLogParts
  #last = '-'
  #reading = false
  #isForeign = false

  constructor(parts: EarlierLogParts) {
    this.#parts = parts
  }

  /** Reads from the beginning again: it may be another Redis. What is known already does nothing. */
  begin(): void {
    this.#last = '-'
  }

  /** Takes in what was ordered since. */
  async read(): Promise<void> {
    if (this.#reading) return
    this.#reading = true
    const { client, key, purges } = this.#parts
    const entries = await client.log((redis) => redis.xrange(key, this.#last, '+', 'COUNT', MAX_EARLIER), readStream)
    this.#reading = false
    const isForeign = entries instanceof Fault && entries.isOtherType
    if (isForeign && !this.#isForeign)
      this.#parts.onForeign(
        `${key} in Redis is no stream: another program has written it, and instances of an earlier release don't hear of purges; remove it (redis-cli DEL "${key}")`,
      )
    this.#isForeign = isForeign
    if (entries instanceof Fault) return
    for (const { id, value, fields } of entries) {
      this.#last = `(${id}`
      // Ours: written for others.
      if (fields > 1) continue
      const purge = readEarlierPurge(value, `earlier ${id}`)
      if (purge === null) client.onUnreadable()
      else purges.add(purge)
    }
  }

  /** Writes a purge as that release reads it; a field more tells it from its own. */
  write({ id: _, ...purge }: Purge): void {
    const { client, key, channel } = this.#parts
    const text = JSON.stringify(purge)
    void client
      .log((redis) => redis.xadd(key, 'MAXLEN', MAX_EARLIER, '*', 'p', text, 'by', '2'), readStreamId)
      .then((id) => {
        if (!(id instanceof Fault))
          void client.log((redis) => redis.publish(channel, `purge ${id} ${text}`), readInteger)
      })
  }

  /** A process of that release has found a key's answers untrue. @param message its id, then the key */
  forget(key: string): void {
    const url = /^[^\n]*\n[^\n]*\nGET (\S+)$/.exec(key)?.[1]
    if (url === undefined) this.#parts.client.onUnreadable()
    else this.#parts.purges.add({ id: randomUUID(), target: { what: 'url', url }, soft: false, atMs: 0 })
  }
}
