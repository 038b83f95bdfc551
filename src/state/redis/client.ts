/**
 * Three connections to Redis: for commands that requests wait for, with deadlines and a circuit breaker; for the shared log, where a
 * command may wait for replicas; and for messages.
 */
import type { Cluster, Redis } from 'ioredis'
import { Breaker } from './breaker.ts'
import { CONNECTION, connectionsOf, connectTo, LONGEST_RETRY_MS, retryAfterMs } from './connect.ts'
import { CLOSED, Fault, FULL, NO_COMMAND, NOT_CONNECTED, REPLICA, SILENT, troubleOf } from './faults.ts'
import { type ReadReply, readValue, readValues } from './replies.ts'
import { Sentinels } from './sentinels.ts'
import type { RedisAddress } from './url.ts'

/** Settings of the clients. */
export interface RedisClientSettings {
  readonly address: RedisAddress
  /** Timeout of a command, milliseconds. */
  readonly deadlineMs: number
  /** In [0, 1): for jitter. */
  readonly chance: () => number
  /** A monotonic clock, milliseconds. */
  readonly now: () => number
  /** Called, at most once a minute, after an invalid reply from Redis. @param count so far */
  onUnreadable(count: number): void
  /** Called, at most once a minute, when Redis is full: it stores nothing new, but still answers. */
  onFull(): void
}

/** A connection with unanswered commands and no reply for this long is closed. */
const SILENCE_MS = 2000
const PING_MS = 500

/** The minimum deadline for the shared log, for which no request waits. */
const LOG_DEADLINE_MS = 1000

/** Minimum time between two log lines about invalid replies. */
const QUIET_MS = 60_000

/** Limit on value bytes being sent. More are dropped, so that a slow Redis can't fill our memory. */
const MAX_WRITING_BYTES = 16 * 1024 * 1024

/** Counters for commands. */
export interface ClientFigures {
  timeouts: number
  errors: number
  skipped: number
  dropped: number
  reconnects: number
  /** Invalid replies, messages and values. */
  unreadable: number
}

/** A Redis, a Sentinel's master or a Cluster. */
export class RedisClient {
  readonly #settings: RedisClientSettings
  readonly #commands: Redis | Cluster
  readonly #log: Redis | Cluster
  readonly #messages: Redis | Cluster
  readonly #sentinels: Sentinels | null
  readonly #watch: NodeJS.Timeout
  readonly breaker: Breaker
  readonly figures: ClientFigures = { timeouts: 0, errors: 0, skipped: 0, dropped: 0, reconnects: 0, unreadable: 0 }
  #isSubscribed = false
  #whyUnsubscribed: string | null = null
  #writingBytes = 0
  #gathering = false
  /** Why it can't be used, as last reported; null if nothing was reported. */
  #trouble: string | null = null
  #closed = false
  /** Connections with an unanswered PING, and when it was sent. */
  readonly #asked = new Map<Redis, number>()
  #quietUntilMs = Number.NEGATIVE_INFINITY
  #quietAboutFullUntilMs = Number.NEGATIVE_INFINITY

  /**
   * @param channel messages on it go to `onMessage`
   * @param onReady all connections are open and the channel is subscribed
   * @param onDown a connection is closed: messages may be missed from now on
   */
  constructor(
    settings: RedisClientSettings,
    channel: string,
    hooks: { onMessage(text: string): void; onReady(): void; onDown(): void },
  ) {
    this.#settings = settings
    this.breaker = new Breaker(settings.chance)
    const { address } = settings
    const retryStrategy = (attempt: number): number => retryAfterMs(attempt, settings.chance())
    const connect = (): Redis | Cluster => {
      const client = connectTo(address, retryStrategy)
      client.on('error', (error: Error) => {
        const trouble = troubleOf(error)
        // Errors of commands that were pending when the connection closed don't say why it closed.
        if (trouble !== CLOSED || this.#trouble !== SILENT) this.#trouble = trouble
      })
      return client
    }
    this.#commands = connect()
    this.#log = connect()
    this.#messages = connect()
    const look = (): void => {
      if (!this.connected) return
      this.#trouble = null
      this.breaker.succeeded()
      hooks.onReady()
    }
    this.#commands.on('ready', look)
    this.#log.on('ready', look)
    const subscribe = (): void => {
      if (this.#messages.status !== 'ready') return
      this.#messages.subscribe(channel).then(
        () => {
          this.#isSubscribed = true
          this.#whyUnsubscribed = null
          look()
        },
        (error: Error) => {
          // If the connection just broke, 'close' follows, and the next connection subscribes. Otherwise the user has no permission now.
          this.#whyUnsubscribed = troubleOf(error)
          setTimeout(subscribe, LONGEST_RETRY_MS).unref()
        },
      )
    }
    this.#messages.on('ready', subscribe)
    this.#messages.on('message', (_channel: string, text: string) => hooks.onMessage(text))
    const down = (): void => {
      if (this.#closed) return
      // The reason may have been recorded already.
      const told = [SILENT, REPLICA, NOT_CONNECTED, NO_COMMAND]
      if (!told.some((why) => this.#trouble?.startsWith(why))) this.#trouble = CLOSED
      this.figures.reconnects++
      hooks.onDown()
    }
    this.#commands.on('close', down)
    this.#log.on('close', down)
    this.#messages.on('close', () => {
      this.#isSubscribed = false
      down()
    })
    this.#sentinels =
      address.kind === 'sentinel' ? new Sentinels(address, { ...CONNECTION, retryStrategy }, () => this.#leave()) : null
    this.#watch = setInterval(() => this.#askForLife(), PING_MS)
    this.#watch.unref()
  }

  /** All connections are open, and the channel is subscribed. */
  get connected(): boolean {
    return this.#isSubscribed && [this.#commands, this.#log, this.#messages].every(({ status }) => status === 'ready')
  }

  /** The connection for commands is open, and the breaker lets them through. */
  get usable(): boolean {
    return this.#commands.status === 'ready' && !this.breaker.wouldRefuse(this.#settings.now())
  }

  /** Why it is not usable, in a few words. */
  get why(): string {
    if (this.#trouble?.startsWith(NOT_CONNECTED)) return this.#trouble
    const trouble = this.#whyUnsubscribed ?? this.#trouble
    if (trouble !== null) return trouble
    if (!this.connected) return NOT_CONNECTED
    // An open breaker past its cool-off time counts as not answering until its probe succeeds.
    return this.breaker.state === 'closed' ? 'redis is connected, its log of purges is being read' : SILENT
  }

  /**
   * Runs a command.
   * @param read parses the reply
   * @returns undefined if there was no reply in time, or an error or invalid reply
   */
  run<T>(command: (redis: Redis | Cluster) => Promise<unknown>, read: ReadReply<T>): Promise<T | undefined> {
    if (this.#commands.status !== 'ready' || !this.breaker.admits(this.#settings.now())) {
      this.figures.skipped++
      return Promise.resolve(undefined)
    }
    return new Promise((resolve) => {
      let open = true
      const settle = (value: T | undefined): void => {
        open = false
        clearTimeout(timer)
        resolve(value)
      }
      const expire = (): void => {
        if (!open) return
        this.figures.timeouts++
        this.#trouble = null
        this.breaker.failed(this.#settings.now())
        settle(undefined)
      }
      this.#gather()
      // If this process itself was stalled, the reply may have arrived: let the socket be read before giving up.
      const timer = setTimeout(() => setImmediate(expire), this.#settings.deadlineMs)
      command(this.#commands).then(
        (reply) => {
          const value = read(reply)
          if (value === undefined) this.onUnreadable()
          this.breaker.succeeded()
          if (open) settle(value)
        },
        (error: Error) => {
          this.#onError(error)
          if (open) settle(undefined)
        },
      )
    })
  }

  /**
   * Runs a command that carries a value, unless too many bytes are being sent already.
   * @param bytes of the value
   */
  async write<T>(
    bytes: number,
    command: (redis: Redis | Cluster) => Promise<unknown>,
    read: ReadReply<T>,
  ): Promise<T | undefined> {
    if (this.#writingBytes + bytes > MAX_WRITING_BYTES) {
      this.figures.dropped++
      return undefined
    }
    return await this.run((redis) => {
      this.#writingBytes += bytes
      // Counted until Redis has replied: the deadline ends the wait, but the bytes stay in the socket.
      return command(redis).finally(() => {
        this.#writingBytes -= bytes
      })
    }, read)
  }

  /**
   * The values of at least one key: in one command, except in a Cluster, where keys may be on different nodes.
   * @returns one for each key, null for none; undefined if there was no reply in time, or an error
   */
  async values(names: readonly string[]): Promise<readonly (Buffer | null)[] | undefined> {
    if (names.length > 1 && !this.#commands.isCluster) {
      return await this.run((redis) => redis.mgetBuffer(...names), readValues(names.length))
    }
    const values = await Promise.all(names.map((name) => this.run((redis) => redis.getBuffer(name), readValue)))
    return names.length === 1 && values[0] === undefined ? undefined : values.map((value) => value ?? null)
  }

  /**
   * Runs a command on the shared log, without the breaker: no request waits for it.
   * @param read parses the reply
   * @param moreMs additional time for the command, milliseconds
   */
  log<T>(command: (redis: Redis | Cluster) => Promise<unknown>, read: ReadReply<T>, moreMs = 0): Promise<T | Fault> {
    if (this.#log.status !== 'ready') return Promise.resolve(new Fault(this.why))
    return new Promise((resolve) => {
      const expire = (): void => {
        this.figures.timeouts++
        resolve(new Fault(SILENT))
      }
      const deadlineMs = Math.max(this.#settings.deadlineMs, LOG_DEADLINE_MS) + moreMs
      const timer = setTimeout(() => setImmediate(expire), deadlineMs)
      command(this.#log).then(
        (reply) => {
          clearTimeout(timer)
          this.#trouble = null
          const value = read(reply)
          if (value === undefined) this.onUnreadable()
          resolve(value ?? new Fault('redis sent an invalid reply'))
        },
        (error: Error) => {
          clearTimeout(timer)
          this.#countError(error)
          this.#trouble = troubleOf(error)
          resolve(new Fault(troubleOf(error), error.name === 'ReplyError' ? error.message : ''))
        },
      )
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#watch)
    this.#sentinels?.close()
    for (const client of [this.#commands, this.#log, this.#messages]) client.disconnect()
  }

  /** Counts an invalid reply, and reports it at most once a minute. */
  onUnreadable(): void {
    this.figures.unreadable++
    const nowMs = this.#settings.now()
    if (nowMs < this.#quietUntilMs) return
    this.#quietUntilMs = nowMs + QUIET_MS
    this.#settings.onUnreadable(this.figures.unreadable)
  }

  /**
   * Sends PINGs, and closes connections that don't answer them: those to a hung or cut-off server would stay open for ever, while another
   * server may have taken over.
   */
  #askForLife(): void {
    const nowMs = this.#settings.now()
    for (const node of [this.#commands, this.#log, this.#messages].flatMap(connectionsOf)) {
      const askedMs = this.#asked.get(node)
      if (askedMs === undefined) {
        if (node.status !== 'ready') continue
        const heard = (): void => void this.#asked.delete(node)
        this.#asked.set(node, nowMs)
        node.ping().then(heard, heard)
      } else if (nowMs - askedMs >= SILENCE_MS) {
        // If this process itself was stalled, the reply may have arrived: let the socket be read first.
        setImmediate(() => {
          if (this.#asked.get(node) !== askedMs) return
          this.#asked.delete(node)
          this.#trouble = SILENT
          node.stream.destroy()
        })
      }
    }
  }

  /** Another master has taken over: reconnects, to that one. */
  #leave(): void {
    for (const node of [this.#commands, this.#log, this.#messages].flatMap(connectionsOf)) node.stream?.destroy()
  }

  /** Sends all commands of one turn of the event loop in one write: the writes cost more than anything else. */
  #gather(): void {
    const client = this.#commands
    if (this.#gathering || client.isCluster) return
    const { stream } = client as Redis
    this.#gathering = true
    stream.cork()
    setImmediate(() => {
      this.#gathering = false
      stream.uncork()
    })
  }

  #countError(error: Error): void {
    this.figures.errors++
    const nowMs = this.#settings.now()
    if (troubleOf(error) !== FULL || nowMs < this.#quietAboutFullUntilMs) return
    this.#quietAboutFullUntilMs = nowMs + QUIET_MS
    this.#settings.onFull()
  }

  /** An error reply shows that Redis is alive. Only errors of a server that can't serve anything count towards the breaker. */
  #onError(error: Error): void {
    this.#countError(error)
    const answered =
      error.name === 'ReplyError' && !/^(LOADING|MASTERDOWN|CLUSTERDOWN|NOAUTH|NOPERM)\b/.test(error.message)
    if (answered) {
      this.breaker.succeeded()
      return
    }
    this.#trouble = troubleOf(error)
    this.breaker.failed(this.#settings.now())
  }
}
