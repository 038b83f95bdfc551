/**
 * JSON pointers (RFC 6901): those of the settings, in which `*` stands for any index or key, and the paths that differences
 * are counted under, in which everything that is data is `*`.
 */

/** What a pointer of the settings says about the place it leads to. */
export type Mark = 'ignore' | 'unordered' | 'redact'

interface Node {
  readonly marks: Set<Mark>
  readonly children: Map<string, Node>
}

const newNode = (): Node => ({ marks: new Set(), children: new Map() })

/** The marks of one place in a document, and of the places below it. */
export class Marks {
  static readonly #NONE = new Marks([])
  readonly #nodes: readonly Node[]

  private constructor(nodes: readonly Node[]) {
    this.#nodes = nodes
  }

  /** The marks of a document's root. What is no pointer, such as `status`, is passed over. */
  static of(pointers: Readonly<Record<Mark, readonly string[]>>): Marks {
    const root = newNode()
    for (const mark of ['ignore', 'unordered', 'redact'] as const) {
      for (const pointer of pointers[mark].filter(isPointer)) {
        let node = root
        for (const key of keysOf(pointer)) {
          const next = node.children.get(key) ?? newNode()
          node.children.set(key, next)
          node = next
        }
        node.marks.add(mark)
      }
    }
    return new Marks([root])
  }

  has(mark: Mark): boolean {
    return this.#nodes.length > 0 && this.#nodes.some((node) => node.marks.has(mark))
  }

  /** Whether the keys of its members are not shown: the place is redacted, or so is whatever is in it. */
  get hidesKeys(): boolean {
    return this.has('redact') || this.#nodes.some(({ children }) => children.get('*')?.marks.has('redact'))
  }

  /** The marks of a member or element. */
  below(key: string | number): Marks {
    if (this.#nodes.length === 0) return this
    const nodes = this.#nodes
      .flatMap(({ children }) => [children.get(String(key)) ?? [], children.get('*') ?? []])
      .flat()
    return nodes.length === 0 ? Marks.#NONE : new Marks(nodes)
  }
}

/** Whether a text is a JSON pointer (RFC 6901 section 3). */
export function isPointer(text: string): boolean {
  return /^(?:\/(?:[^~/]|~[01])*)*$/.test(text)
}

/** The keys that a pointer leads along. */
export const keysOf = (pointer: string): string[] =>
  pointer
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'))

/** What looks like a name that somebody wrote into code: letters first, such as `price`, `@type`, `xs:name` or `address2`. */
const NAME = /^[@$#_]{0,2}\p{L}[\p{L}\p{N}_.:/~$()% -]{0,63}$/u
/** What looks like an id all the same: five digits in a row, or hexadecimal digits as in a UUID or hash. */
const ID = /\d{5}|^(?=.*\d)[\da-f-]{8,}$/i

/** Whether a key is data, such as an id, a date or an address, and not the name of a field. */
export function isDataKey(key: string): boolean {
  return !NAME.test(key) || ID.test(key)
}

const LONGEST_PATH = 256

/** The path of a member or element (`*`), from the path of what holds it. What is deeper than 256 characters counts with what holds it. */
export function pathBelow(path: string, key: string): string {
  const below = `${path}/${/[~/]/.test(key) ? key.replaceAll('~', '~0').replaceAll('/', '~1') : key}`
  return below.length <= LONGEST_PATH ? below : path
}

/** The path of a place from its keys and, as numbers, indices. @param marks of the root */
export function pathTo(keys: readonly (string | number)[], marks: Marks): string {
  let path = ''
  let isHidden = false
  let place = marks
  for (const key of keys) {
    isHidden ||= place.hidesKeys
    path = pathBelow(path, isHidden || typeof key === 'number' || isDataKey(key) ? '*' : key)
    place = place.below(key)
  }
  return path
}
