/**
 * Writes docs/background/map.md: every file of src/ with the sentence it begins with. A test keeps the two alike.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const SRC = new URL('../src/', import.meta.url)
const MAP = new URL('../docs/background/map.md', import.meta.url)

const FLOORS: readonly (readonly [folder: string, title: string])[] = [
  ['', 'Floor 3 wires'],
  ['processes', 'Floor 3: the primary and its workers'],
  ['logging', 'Floor 3: the log'],
  ['settings', 'Floor 3: flags and environment'],
  ['page', 'Beside the planes: the page, which runs in a browser'],
  ['cli', 'Beside the planes: the command line, a client of the admin API'],
  ['answers', 'Below them: what the admin API answers, as types'],
  ['proxy', 'Floor 2 carries bytes: the data plane'],
  ['control', 'Floor 2 changes the table: the control plane'],
  ['state', 'Floor 1 remembers between exchanges'],
  ['rules', 'Floor 0 decides, without I/O'],
  ['wire', 'Floor 0 speaks HTTP/1.1, and knows no table'],
]

/** The first paragraph of a file's first comment, on one line. */
function sentenceOf(text: string): string {
  const comment = /^\/\*\*\n([\s\S]*?)\*\//.exec(text)?.[1] ?? ''
  const lines = comment.split('\n').map((line) => line.replace(/^ \* ?/, '').trim())
  const end = lines.indexOf('')
  return lines
    .slice(0, end === -1 ? lines.length : end)
    .join(' ')
    .trim()
}

/** The text of docs/background/map.md for the files that stand. */
export function mapText(): string {
  const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .sort()
  const sections = FLOORS.map(([folder, title]) => {
    const own = files.filter((file) => (file.includes('/') ? file.split('/')[0] : '') === folder)
    const rows = own.map((file) => `| \`${file}\` | ${sentenceOf(readFileSync(new URL(file, SRC), 'utf8'))} |`)
    return `## ${title}\n\n| file | what it is |\n| --- | --- |\n${rows.join('\n')}\n`
  })
  return `# The map of src/\n\nMade by \`node scripts/map.ts\` from the first comment of each file; \`test/docs.test.ts\` fails where it is out of date.\nImports run downwards only, and the two planes never import each other (\`test/floors.test.ts\`).\n\n${sections.join('\n')}`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(MAP, mapText())
