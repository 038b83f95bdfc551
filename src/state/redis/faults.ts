/**
 * Classifies Redis failures, and describes each in a few words.
 */

/** No reply at all. */
export const SILENT = 'redis does not answer in time'

export const NOT_CONNECTED = 'redis is not connected'

/** Redis ended or was killed, or the connection was cut. */
export const CLOSED = `${NOT_CONNECTED}: connection closed`

/** A command is renamed or disabled there. If it is the first one that is sent (INFO), the connection fails. */
export const NO_COMMAND = 'redis has no command'

export const FULL = 'redis is full'

/** The user lacks permission; within scripts, the wording depends on the release of Redis. */
const DENIED = /^NOPERM\b|ACL failure in script|The user executing the script can't/

/** The connection is closed after this error, in case another server has taken over. */
export const REPLICA = 'redis is a replica, and takes no writes'

/** Errors of a server that refuses writes but can still be read. */
const NO_WRITES: Readonly<Record<string, string>> = {
  READONLY: REPLICA,
  MISCONF: 'redis takes no writes: it failed to save its data (MISCONF)',
  NOREPLICAS: 'redis takes no writes: too few replicas follow it (NOREPLICAS)',
}

/** A description of an error, without addresses or credentials. */
export function troubleOf(error: Error): string {
  const { code } = error as NodeJS.ErrnoException
  if (error.message === SILENT) return SILENT
  // From ioredis, for a command that was pending when its connection closed.
  if (error.name === 'MaxRetriesPerRequestError') return CLOSED
  const word = code ?? /^[A-Z]{3,}/.exec(error.message)?.[0] ?? error.name
  if (error.message.includes('OOM command not allowed')) return FULL
  if (error.name === 'ReplyError' && DENIED.test(error.message)) return 'redis says NOPERM'
  const [refusal = ''] = /\b(?:READONLY|MISCONF|NOREPLICAS)\b/.exec(error.message) ?? []
  if (error.name === 'ReplyError' && refusal in NO_WRITES) return NO_WRITES[refusal] as string
  const unknown = /^ERR unknown (?:redis )?command(?: '(\w+)')?/i.exec(error.message)
  if (unknown !== null) return `${NO_COMMAND} ${unknown[1]?.toUpperCase() ?? 'that a script needs'}`
  if (error.name === 'ReplyError' && !/^(NOAUTH|WRONGPASS)/.test(word)) return `redis says ${word}`
  // Wording of ioredis for a command that was pending when its connection closed.
  if (word === 'Error') return /closed|writeable/.test(error.message) ? CLOSED : NOT_CONNECTED
  return `${NOT_CONNECTED}: ${word}`
}

/** Why a command on the shared log failed. */
export class Fault {
  /** In a few words, without addresses. */
  readonly message: string
  readonly #reply: string

  /** @param reply the text of the error reply, if there was one */
  constructor(message: string, reply = '') {
    this.message = message
    this.#reply = reply
  }

  /** A key has the wrong type for the command. In errors of scripts, Redis 6 puts the code at the end. */
  get isOtherType(): boolean {
    return /\bWRONGTYPE\b/.test(this.#reply)
  }

  /** Redis is full. */
  get isFull(): boolean {
    return /\bOOM\b/.test(this.#reply)
  }

  /** The server refuses writes: it is a replica, can't save its data, or has too few replicas. */
  get isReadOnly(): boolean {
    return /\b(READONLY|MISCONF|NOREPLICAS)\b/.test(this.#reply)
  }

  /** The user lacks permission. */
  get isDenied(): boolean {
    return DENIED.test(this.#reply)
  }

  /** The server does not support the flags in the script's first line. */
  get isOfScript(): boolean {
    return /compiling script|unexpected symbol|flag in shebang|Unexpected engine/i.test(this.#reply)
  }
}
