/**
 * The Dockerfile as a value: its stages in order, with the instructions as a real parser reads them.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  type Copy,
  DockerfileParser,
  type From,
  type Instruction,
  type JSONInstruction,
  type Label,
} from 'dockerfile-ast'

/** One instruction: `words` are its arguments without flags, `text` is everything behind the keyword. */
export interface Step {
  readonly keyword: string
  readonly words: readonly string[]
  readonly text: string
  /** The value of `--from`, of COPY alone. */
  readonly from: string | null
  /** NAME=value pairs, of ENV and LABEL alone. */
  readonly pairs: readonly (readonly [string, string])[]
}

/** From one FROM to the next. */
export interface Stage {
  readonly name: string
  /** An earlier stage, or an image. */
  readonly base: string
  readonly steps: readonly Step[]
}

/** The whole file. */
export interface Dockerfile {
  /** ARGs before the first FROM, with their defaults. */
  readonly args: ReadonlyMap<string, string>
  readonly stages: readonly Stage[]
}

/** Reads the Dockerfile of a project. */
export function readDockerfile(project: string): Dockerfile {
  const parsed = DockerfileParser.parse(readFileSync(join(project, 'Dockerfile'), 'utf8'))
  const stages: { name: string; base: string; steps: Step[] }[] = []
  const args = new Map<string, string>()
  for (const instruction of parsed.getInstructions()) {
    const keyword = instruction.getKeyword()
    if (keyword === 'FROM') {
      const from = instruction as From
      stages.push({ name: from.getBuildStage() ?? '', base: from.getImage() ?? '', steps: [] })
      continue
    }
    const stage = stages.at(-1)
    if (stage !== undefined) stage.steps.push(stepOf(instruction, keyword))
    else if (keyword === 'ARG') {
      const [name, value] = instruction.getArgumentsContent()?.split('=', 2) ?? []
      args.set(name ?? '', value ?? '')
    } else throw new Error(`${keyword} before the first FROM`)
  }
  return { args, stages }
}

function stepOf(instruction: Instruction, keyword: string): Step {
  const text = instruction.getArgumentsContent() ?? ''
  const isJson = keyword === 'CMD' || keyword === 'ENTRYPOINT' || keyword === 'COPY'
  const json = isJson ? (instruction as JSONInstruction).getJSONStrings().map((one) => one.getJSONValue()) : []
  const plain = instruction.getArguments().map((one) => one.getValue())
  const words = json.length > 0 ? json : keyword === 'HEALTHCHECK' ? execForm(text) : plain
  const from = keyword === 'COPY' ? ((instruction as Copy).getFromFlag()?.getValue() ?? null) : null
  const pairs =
    keyword === 'ENV' || keyword === 'LABEL'
      ? (instruction as Label).getProperties().map((one) => [one.getName(), one.getValue() ?? ''] as const)
      : []
  return { keyword, words: words.filter((word) => !(keyword === 'COPY' && word.startsWith('--'))), text, from, pairs }
}

/** The command behind HEALTHCHECK's own flags, which the parser leaves as text. */
function execForm(text: string): string[] {
  return JSON.parse(text.slice(text.indexOf('['))) as string[]
}
