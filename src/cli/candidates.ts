/**
 * What can stand at the end of a command line: the words that a shell offers when it completes one.
 */
import { targetsText } from '../rules/routing/targets.ts'
import { AdminClient } from './admin-client.ts'
import type { Command } from './command.ts'
import { readContexts, targetOf } from './contexts.ts'
import type { Io } from './io.ts'

/** A word that can stand there, and what it is. */
export interface Candidate {
  readonly word: string
  readonly about: string
}

/** Any file can stand there. */
export const FILES = ':files'

/** Nobody waits longer for a completion. */
const PATIENCE_MS = 1_000

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']

/** What is known of a command line up to the word that is completed. */
interface Typed {
  readonly args: readonly string[]
  readonly flags: ReadonlyMap<string, string>
  /** The flag whose value the word is. */
  readonly open: string | null
}

/**
 * The candidates for the last of these words, by prefix. Names of routes, upstreams, servers and revisions come from the running
 * proxy; without one there are none.
 * @param words after the program's name; the last may be ''
 */
export async function candidatesFor(
  commands: readonly Command[],
  words: readonly string[],
  io: Io,
): Promise<readonly Candidate[] | typeof FILES> {
  const last = (words.at(-1) ?? '').replace(/^['"]/, '')
  const starting = (all: readonly Candidate[]): readonly Candidate[] => all.filter(({ word }) => word.startsWith(last))
  if (words.length < 2) {
    const general = ['--help', '--version'].map((word) => ({ word, about: '' }))
    const names = commands.map(({ name, summary }) => ({ word: name, about: summary }))
    return starting([...names, ...(last.startsWith('-') ? general : [])])
  }
  const command = commands.find(({ name }) => name === words[0])
  if (command === undefined) return []
  const typed = read(command, words.slice(1, -1))
  const [, flag] = /^--([^=]+)=/.exec(last) ?? []
  if (typed.open === null && flag === undefined && last.startsWith('-')) return starting(flagsOf(command, typed))
  const kinds =
    flag === undefined ? new Set(kindsOf(command, typed)) : new Set((command.flags[flag]?.value ?? '').split('|'))
  if (kinds.has('FILE')) return FILES
  const found = (await Promise.all([...kinds].map((kind) => named(kind, typed, io)))).flat()
  return starting(flag === undefined ? found : found.map((one) => ({ ...one, word: `--${flag}=${one.word}` })))
}

function read(command: Command, words: readonly string[]): Typed {
  const args: string[] = []
  const flags = new Map<string, string>()
  let open: string | null = null
  for (const word of words) {
    if (open !== null) {
      flags.set(open, word)
      open = null
      continue
    }
    const [, short, long, value] = /^(?:-([^-])|--([^=]+)(?:=(.*))?)$/.exec(word) ?? []
    const name =
      long ?? Object.entries(command.flags).find(([, flag]) => short !== undefined && flag.short === short)?.[0]
    if (name === undefined) args.push(word)
    else if (value === undefined && (command.flags[name]?.value ?? '') !== '') open = name
    else flags.set(name, value ?? '')
  }
  return { args, flags, open }
}

function flagsOf({ flags }: Command, typed: Typed): Candidate[] {
  const unused = Object.entries(flags).filter(([name, { multiple }]) => multiple === true || !typed.flags.has(name))
  return [...unused.map(([name, { help }]) => ({ word: `--${name}`, about: help })), { word: '--help', about: '' }]
}

/** What the usage has where the word stands: kinds such as ROUTE, and words that stand for themselves. */
function kindsOf(command: Command, { args, open }: Typed): string[] {
  if (open !== null) return (command.flags[open]?.value ?? '').split('|')
  // A usage may have words that are no arguments, such as [flags].
  if (args.length >= command.counts[1]) return []
  const forms = command.forms ?? command.usage.split(' | ')
  return forms.flatMap((form) => {
    const steps = form.split(' ').map((step) => step.replace(/[[\]]/g, ''))
    const first = steps.findIndex((step) => step.startsWith('-'))
    const places = (first === -1 ? steps : steps.slice(0, first)).map((step) => step.split('|'))
    const fits = args.every((arg, at) => places[at]?.some((step) => step === arg || isKind(step)) === true)
    return fits ? (places[args.length] ?? []) : []
  })
}

const isKind = (step: string): boolean => /^[A-Z_]+$/.test(step)

async function named(kind: string, { args, flags }: Typed, io: Io): Promise<Candidate[]> {
  const list = async <Entry>(path: string, key: string, each: (entry: Entry) => Candidate): Promise<Candidate[]> => {
    try {
      const target = targetOf({ admin: flags.get('admin'), context: flags.get('context') }, io)
      const { json } = await new AdminClient(target, { timeoutMs: PATIENCE_MS }).ask('GET', path)
      return (json[key] as Entry[]).map(each)
    } catch {
      // A shell that completes a word has no place for an error: there is nothing to offer.
      return []
    }
  }
  switch (kind) {
    case 'ROUTE':
      return list<{ id: string; percent: number; to: Parameters<typeof targetsText>[0] }>(
        '/routes',
        'routes',
        ({ id, percent, to }) => ({
          word: id,
          about: `${percent} % to ${targetsText(to)}`,
        }),
      )
    case 'UPSTREAM':
    case 'NAME':
    case 'FROM':
    case 'TO':
      return list<{ name: string; servers: readonly unknown[] }>('/upstreams', 'upstreams', ({ name, servers }) => ({
        word: name,
        about: `${servers.length} ${servers.length === 1 ? 'server' : 'servers'}`,
      }))
    case 'SERVER':
      return list<{ id: string; url: string }>(
        `/upstreams/${encodeURIComponent(args.at(-1) ?? '')}/servers`,
        'servers',
        ({ id, url }) => ({ word: id, about: url }),
      )
    case 'NUMBER':
      return list<{ revision: number; author: string; reason: string | null }>(
        '/revisions',
        'revisions',
        ({ revision, author, reason }) => ({ word: String(revision), about: `${author}: ${reason ?? 'no reason'}` }),
      )
    case 'REQUEST_ID':
      return list<{ id: string; method: string; target: string }>(
        '/exchanges',
        'exchanges',
        ({ id, method, target }) => ({ word: id, about: `${method} ${target}` }),
      )
    case 'ENDPOINT':
      return list<{ id: string; method: string; path: string }>('/discovered', 'endpoints', ({ id, method, path }) => ({
        word: id,
        about: `${method} ${path}`,
      }))
    case 'CONTEXT':
      return contextsOf(io)
    case 'METHOD':
      return METHODS.map((word) => ({ word, about: '' }))
    default:
      return isKind(kind) || !/^[a-z][a-z0-9-]*$/.test(kind) ? [] : [{ word: kind, about: '' }]
  }
}

function contextsOf(io: Io): Candidate[] {
  try {
    return Object.entries(readContexts(io).contexts).map(([word, { admin }]) => ({ word, about: admin }))
  } catch {
    return []
  }
}
