/**
 * The files of the page, as browsers get them: sources below src/page with their types stripped, or what `npm run build` made of them,
 * and the three libraries that they import.
 */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'

/** A file. */
export interface Asset {
  readonly type: string
  /** A strong entity tag of the content, without quotes. */
  readonly tag: string
  readonly plain: Buffer
  readonly gzip: Buffer
  readonly br: Buffer
}

/** Where the libraries lie below `/page/`, by the specifier in an import, and the module of each for browsers. */
const LIBRARIES: Readonly<Record<string, { readonly name: string; readonly module: string }>> = {
  preact: { name: 'lib/preact.js', module: 'preact' },
  'preact/hooks': { name: 'lib/hooks.js', module: 'preact/hooks' },
  htm: { name: 'lib/htm.js', module: 'htm' },
  uplot: { name: 'lib/uplot.js', module: 'uplot/dist/uPlot.esm.js' },
}

const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
}

const FOLDER = fileURLToPath(new URL('../../page/', import.meta.url))

const brotlied = promisify(brotliCompress)
const gzipped = promisify(gzip)

/** The files, each made when it is first asked for. */
export class Assets {
  #files: ReadonlyMap<string, string> | null = null
  readonly #made = new Map<string, Promise<Asset>>()

  /**
   * @param name such as `main.js` or `lib/preact.js`
   * @returns null if there is none
   * @throws {Error} of the file system
   */
  async get(name: string): Promise<Asset | null> {
    const known = this.#made.get(name)
    if (known !== undefined) return known
    this.#files ??= await filesByName()
    const path = this.#files.get(name)
    if (path === undefined) return null
    const made = makeAsset(name, path)
    this.#made.set(name, made)
    // Such as without a free descriptor: the next request tries again.
    made.catch(() => this.#made.delete(name))
    return made
  }
}

/** The closed set of what is served, so that no path is ever made of a request. */
async function filesByName(): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>()
  for (const path of await readdir(FOLDER, { recursive: true })) {
    const name = path.replaceAll('\\', '/').replace(/\.ts$/, '.js')
    if (/\.(?:html|css|js|svg)$/.test(name)) files.set(name, join(FOLDER, path))
  }
  for (const { name, module } of Object.values(LIBRARIES)) files.set(name, fileURLToPath(import.meta.resolve(module)))
  files.set('lib/uplot.css', fileURLToPath(import.meta.resolve('uplot/dist/uPlot.min.css')))
  return files
}

async function makeAsset(name: string, path: string): Promise<Asset> {
  const text = await readFile(path, 'utf8')
  const type = TYPES[name.slice(name.lastIndexOf('.') + 1)] as string
  const plain = Buffer.from(name.endsWith('.js') ? scriptOf(text, path) : text)
  const params = { [constants.BROTLI_PARAM_QUALITY]: 9 }
  const [br, zipped] = await Promise.all([brotlied(plain, { params }), gzipped(plain)])
  const tag = createHash('sha256').update(plain).digest('base64url').slice(0, 16)
  return { type, tag, plain, gzip: zipped, br }
}

/** A script as browsers can import it: without types, and with URLs for what it imports. */
function scriptOf(text: string, path: string): string {
  const code = path.endsWith('.ts') ? withoutTypes(text) : text
  return code
    .replace(/^\/\/# sourceMappingURL=.*$/m, '')
    .replaceAll(
      /(\bfrom\s*|\bimport\s*\(?\s*)(["'])([^"'\n]+)\2/g,
      (found, word: string, quote: string, said: string) => {
        const library = LIBRARIES[said]
        if (library !== undefined) return `${word}${quote}/page/${library.name}${quote}`
        return said.startsWith('.') ? `${word}${quote}${said.replace(/\.ts$/, '.js')}${quote}` : found
      },
    )
}

/** Only in a checkout. Node warns that the function is experimental, which tells an operator nothing. */
function withoutTypes(text: string): string {
  const { emitWarning } = process
  process.emitWarning = () => {}
  try {
    return stripTypeScriptTypes(text)
  } finally {
    process.emitWarning = emitWarning
  }
}
