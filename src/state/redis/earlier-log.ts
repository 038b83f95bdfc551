/**
 * Compatibility with the previous release (0.x until 997629a), so that instances of both can share a Redis: its purges are added to the
 * log, and ours are written in its format, too.
 */
import { randomUUID } from 'node:crypto'
import { type Purge, readEarlierPurge } from '../../rules/caching/purge.ts'
import type { PurgeLog } from '../caching/purges.ts'
import type { RedisClient } from './client.ts'
import { Fault } from './faults.ts'
import { readInteger, readStream, readStreamId } from './replies.ts'

/** How many purges that release keeps and reads. */
const MAX_EARLIER = 1000

/** Dependencies. */
export interface EarlierLogParts {
  readonly client: RedisClient
  /** The key of its stream. */
  readonly key: string
  readonly channel: string
  readonly purges: PurgeLog
  /** Called if another program has written the key, with what to do. */
  onForeign(message: string): void
}

/** The stream and messages of the previous release. */
export class EarlierLog {
  readonly #parts: EarlierLogParts
  #last = '-'
  #reading = false
  #isForeign = false

  constructor(parts: EarlierLogParts) {
    this.#parts = parts
  }

  /** Starts reading from the beginning: it may be another Redis. Known purges have no effect. */
  begin(): void {
    this.#last = '-'
  }

  /** Reads new purges. */
  async read(): Promise<void> {
    if (this.#reading) return
    this.#reading = true
    const { client, key, purges } = this.#parts
    const entries = await client.log((redis) => redis.xrange(key, this.#last, '+', 'COUNT', MAX_EARLIER), readStream)
    this.#reading = false
    const isForeign = entries instanceof Fault && entries.isOtherType
    if (isForeign && !this.#isForeign)
      this.#parts.onForeign(
        `${key} in Redis is not a stream: another program has written it, and instances of an earlier release miss purges; remove it (redis-cli DEL "${key}")`,
      )
    this.#isForeign = isForeign
    if (entries instanceof Fault) return
    for (const { id, value, fields } of entries) {
      this.#last = `(${id}`
      // Our own, written for the previous release.
      if (fields > 1) continue
      const purge = readEarlierPurge(value, `earlier ${id}`)
      if (purge === null) client.onUnreadable()
      else purges.add(purge)
    }
  }

  /** Writes a purge in the previous format; an additional field marks it as ours. */
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

  /** A process of the previous release wants the answers for a key forgotten. @param message process id, then the key */
  forget(key: string): void {
    const url = /^[^\n]*\n[^\n]*\nGET (\S+)$/.exec(key)?.[1]
    if (url === undefined) this.#parts.client.onUnreadable()
    else this.#parts.purges.add({ id: randomUUID(), target: { what: 'url', url }, soft: false, atMs: 0 })
  }
}
