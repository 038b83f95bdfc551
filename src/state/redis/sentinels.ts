/**
 * Learns from the Sentinels when another master has taken over. The old master may accept writes for seconds more and keeps its
 * connections open, so nothing else would make us leave it.
 */
import type { Redis, RedisOptions } from 'ioredis'
import { containFaults, loadRedis } from './package.ts'
import type { RedisAddress } from './url.ts'

/** Published with the name of the master, its old address and its new one. */
const CHANNEL = '+switch-master'

/** A subscription at each Sentinel of an address. */
export class Sentinels {
  readonly #clients: readonly Redis[]

  /**
   * @param options for the connections
   * @param onSwitch another server is the master
   */
  constructor({ nodes, master }: RedisAddress, options: Omit<RedisOptions, 'replyMapping'>, onSwitch: () => void) {
    const { Redis } = loadRedis()
    this.#clients = nodes.map(({ host, port }) => {
      const client = new Redis({ ...options, host, port, enableReadyCheck: false })
      containFaults(client)
      // The client reconnects by itself.
      client.on('error', () => {})
      client.on('ready', () => client.subscribe(CHANNEL).catch(() => {}))
      client.on('message', (_channel: string, text: unknown) => {
        if (typeof text === 'string' && text.startsWith(`${master} `)) onSwitch()
      })
      return client
    })
  }

  close(): void {
    for (const client of this.#clients) client.disconnect()
  }
}
