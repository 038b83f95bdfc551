/**
 * What the other instances of a cluster see of the servers of an upstream. A deploy asks for it, because it judges by all instances.
 */
import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import type { RedisStateStore } from '../../state/redis/state-store.ts'
import { SERVER_WORDS } from '../../state/upstreams/figures.ts'
import { Broadcast } from './broadcast.ts'
import type { Members } from './members.ts'

/** An instance that has not answered within this time is left out. */
const PATIENCE_MS = 1_500

const MAX_SERVERS = 10_000

const count = z.int().min(0)
const text = z.string().max(1_000)

/** One address of a server, as an instance sees it: its state, and counters since that instance's start. */
export const seenServer = z.object({
  ...{ id: text, state: z.enum(SERVER_WORDS) },
  ...{ exchanges: count, failures: count, clientErrors: count, redirects: count },
  responseMs: z.record(text, count).default({}),
  health: z
    .object({
      healthy: z.boolean(),
      probes: z.object({ good: count, failed: count }),
      last: z.object({ good: z.boolean(), detail: text }).nullable(),
    })
    .nullable(),
})

const seenServers = z.record(text, z.array(seenServer).max(MAX_SERVERS))

/** The addresses of each server, by its id. */
export type SeenServers = z.output<typeof seenServers>

const message = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('asked'), id: text, upstream: text }),
  z.object({ kind: z.literal('seen'), id: text, servers: seenServers }),
])

/** Asks the other instances, and answers them. */
export class Elsewhere {
  readonly #others: Broadcast<z.output<typeof message>>
  readonly #members: Members
  /** Open questions by id, called with each answer. */
  readonly #open = new Map<string, (servers: SeenServers, instance: string) => void>()

  constructor(store: RedisStateStore, instance: string, members: Members) {
    this.#others = new Broadcast(store, instance, 'servers', message)
    this.#members = members
  }

  /** @param look returns what this instance sees of an upstream's servers */
  start(look: (upstream: string) => Promise<SeenServers>): void {
    const answer = async (id: string, upstream: string): Promise<void> => {
      await this.#others.tell({ kind: 'seen', id, servers: seenServers.parse(await look(upstream)) })
    }
    this.#others.start((told, instance) => {
      if (told.kind === 'seen') this.#open.get(told.id)?.(told.servers, instance)
      // If the answer gets lost, the other instance asks again.
      else void answer(told.id, told.upstream).catch(() => {})
    })
  }

  /** What the other instances see, by instance, without those that don't answer. Never rejects. */
  async ask(upstream: string): Promise<ReadonlyMap<string, SeenServers>> {
    const wanted = new Set((await this.#members.others()).filter(isThere).map(({ instance }) => instance))
    const seen = new Map<string, SeenServers>()
    if (wanted.size === 0) return seen
    const id = randomUUID()
    await new Promise<void>((done) => {
      const timer = setTimeout(done, PATIENCE_MS)
      const end = (): void => {
        clearTimeout(timer)
        done()
      }
      this.#open.set(id, (servers, instance) => {
        seen.set(instance, servers)
        wanted.delete(instance)
        if (wanted.size === 0) end()
      })
      this.#others.tell({ kind: 'asked', id, upstream }).catch(end)
    })
    this.#open.delete(id)
    return seen
  }

  close(): void {
    this.#others.close()
  }
}

function isThere({ isSilent, problem }: { readonly isSilent: boolean; readonly problem: string | null }): boolean {
  return !isSilent && problem === null
}
