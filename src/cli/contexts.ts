/**
 * Contexts: named admin addresses with their tokens, in a file that only its owner can read.
 */
import { chmodSync, mkdirSync, readFileSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { didYouMean } from '../rules/values/problem.ts'
import { CommandError, EXIT, type Io } from './io.ts'

/** One context. */
export interface Context {
  /** Address of the admin API. */
  readonly admin: string
  readonly token: string | null
}

/** The contexts of a person. */
export interface Contexts {
  readonly current: string | null
  readonly contexts: Readonly<Record<string, Context>>
}

/** Where a command finds the admin API. */
export interface Target {
  /** `HOST:PORT` or a URL. */
  readonly admin: string
  readonly token: string | null
  /** Where the token comes from, for messages. */
  readonly tokenFrom: string
  /** The name of the context; null where there is none. */
  readonly context: string | null
}

const NO_CONTEXTS: Contexts = Object.freeze({ current: null, contexts: Object.freeze({}) })
const DEFAULT_ADMIN = '127.0.0.1:8081'
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/
const MAX_FILE_BYTES = 1024 * 1024
const FORMAT = 1

/**
 * Flags win over the environment, and that over the context in use: `--admin`, `--context`, BANYAN_ADMIN, BANYAN_CONTEXT,
 * `banyan context use`. The token of a context is sent to its own address only.
 * @throws {CommandError} if the context does not exist, or the file can't be used
 */
export function targetOf(
  { admin, context }: { admin?: string | undefined; context?: string | undefined },
  io: Io,
): Target {
  const { BANYAN_ADMIN, BANYAN_CONTEXT, BANYAN_TOKEN } = io.env
  // A token read from a file may end with a line break.
  const token = BANYAN_TOKEN?.trim() || null
  const plain = { token, tokenFrom: 'BANYAN_TOKEN', context: null }
  if (admin !== undefined && context !== undefined)
    throw new CommandError(EXIT.usage, '--admin and --context exclude each other: a context has an address')
  if (admin !== undefined) return { ...plain, admin }
  if (context !== undefined) return named(context, null, io, plain)
  if (BANYAN_ADMIN !== undefined) return { ...plain, admin: BANYAN_ADMIN }
  const used = BANYAN_CONTEXT || null
  if (used !== null) return named(used, token, io, plain)
  const { current } = readContexts(io)
  return current === null ? { ...plain, admin: DEFAULT_ADMIN } : named(current, token, io, plain)
}

/** @param over a token that wins over that of the context */
function named(name: string, over: string | null, io: Io, plain: Omit<Target, 'admin'>): Target {
  const { admin, token } = contextOf(name, readContexts(io), io)
  const isOwn = over === null && token !== null
  return { admin, ...plain, context: name, ...(isOwn ? { token, tokenFrom: `the context ${name}` } : {}) }
}

/** @throws {CommandError} if there is none of that name */
export function contextOf(name: string, { contexts }: Contexts, io: Io): Context {
  const found = Object.hasOwn(contexts, name) ? contexts[name] : undefined
  if (found !== undefined) return found
  const hint = didYouMean(name, Object.keys(contexts)) ?? `see banyan context list, in ${pathOf(io)}`
  throw new CommandError(EXIT.usage, `unknown context '${name}' (${hint})`)
}

/** The file: BANYAN_CONTEXTS, or `banyan/contexts.json` in XDG_CONFIG_HOME or ~/.config. Null where there is no home. */
export function pathOf({ env }: Io): string | null {
  if (env.BANYAN_CONTEXTS) return env.BANYAN_CONTEXTS
  const folder = env.XDG_CONFIG_HOME || (env.HOME ? join(env.HOME, '.config') : '')
  return folder === '' ? null : join(folder, 'banyan', 'contexts.json')
}

/** @throws {CommandError} if it is not valid, or others than its owner can read it: it has tokens */
export function readContexts(io: Io): Contexts {
  const path = pathOf(io)
  const text = path === null ? null : privateText(path)
  return text === null ? NO_CONTEXTS : parsed(text, path as string)
}

function privateText(path: string): string | null {
  let found: ReturnType<typeof statSync>
  try {
    found = statSync(path, { throwIfNoEntry: false })
    if (found === undefined) return null
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') return null
    throw new CommandError(EXIT.usage, `can't read the contexts: ${(error as Error).message}`)
  }
  const { mode, uid, size } = found
  const octal = (mode & 0o777).toString(8).padStart(4, '0')
  // Windows has no such modes, and reports all files as readable by everybody.
  const hasModes = process.getuid !== undefined
  if (!found.isFile() || size > MAX_FILE_BYTES) throw new CommandError(EXIT.usage, `${path}: not a file of contexts`)
  if (hasModes && (mode & 0o077) !== 0)
    throw new CommandError(
      EXIT.usage,
      `${path} has mode ${octal} and may hold tokens: others must not read it (chmod 600 ${path})`,
    )
  if (hasModes && uid !== process.getuid?.() && process.getuid?.() !== 0)
    throw new CommandError(EXIT.usage, `${path} belongs to another user, who could send your commands elsewhere`)
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new CommandError(EXIT.usage, `can't read the contexts: ${(error as Error).message}`)
  }
}

function parsed(text: string, path: string): Contexts {
  let said: unknown
  try {
    said = JSON.parse(text)
  } catch {
    // What the parser says quotes the text, which has tokens.
    throw new CommandError(EXIT.usage, `${path}: not valid JSON`)
  }
  const {
    format,
    current = null,
    contexts = {},
  } = (said ?? {}) as { format?: unknown; current?: unknown; contexts?: unknown }
  if (format !== FORMAT)
    throw new CommandError(EXIT.usage, `${path}: unknown format ${JSON.stringify(format)}: expected ${FORMAT}`)
  const entries = Object.entries((contexts ?? {}) as Record<string, Partial<Context> | null>)
  for (const [name, one] of entries) {
    const { admin, token = null } = one ?? {}
    if (NAME.test(name) && typeof admin === 'string' && (token === null || typeof token === 'string')) continue
    throw new CommandError(
      EXIT.usage,
      `${path}: contexts.${name}: expected { "admin": "HOST:PORT", "token": "..." or null }`,
    )
  }
  const known = entries.map(
    ([name, one]) => [name, { admin: one?.admin as string, token: one?.token ?? null }] as const,
  )
  return { current: typeof current === 'string' ? current : null, contexts: Object.fromEntries(known) }
}

/** Replaces the file as a whole; readable by its owner only. @throws {CommandError} if it can't be written */
export function writeContexts(contexts: Contexts, io: Io): void {
  const named = pathOf(io)
  if (named === null)
    throw new CommandError(EXIT.usage, 'nowhere to keep contexts: set HOME, XDG_CONFIG_HOME or BANYAN_CONTEXTS')
  const path = behindLinks(named)
  const next = `${path}.${process.pid}.new`
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    writeFileSync(next, `${JSON.stringify({ format: FORMAT, ...contexts }, null, 2)}\n`, { mode: 0o600, flag: 'wx' })
    // The umask may have taken more.
    chmodSync(next, 0o600)
    renameSync(next, path)
  } catch (error) {
    rmSync(next, { force: true })
    throw new CommandError(EXIT.refused, `can't write the contexts: ${(error as Error).message}`)
  }
}

/** The file itself: a link to one that is kept elsewhere stays a link. */
function behindLinks(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return path
  }
}

/** @throws {CommandError} if it is not a name */
export function checkName(name: string): void {
  if (NAME.test(name)) return
  throw new CommandError(EXIT.usage, `invalid name '${name}': expected letters, digits, '.', '_' and '-', at most 63`)
}
