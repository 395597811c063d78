import { type Random, seededRandom } from '#shared/kernel/random.ts';

/** Words and endings of one language; what separates words, and what ends a sentence. */
interface Language {
  words: readonly string[];
  between: string;
  end: string;
}

const language = (words: string, between = ' ', end = '. '): Language => ({
  words: words.split(' '),
  between,
  end,
});

const languages = {
  english: language(
    'the of and to in is that it was for on are as with his they at be this have from or one had by word but not what all were we when your can said there use an each which she do how their if will up other about out many then them these so some her would make like him into time has look two more write go see number no way could people my than first water been call who oil its now find long down day did get come made may part over new sound take only little work know place year live me back give most very after thing our just name good sentence man think say great where help through much before line right too mean old any same tell boy follow came want show also around form three small set put end does another well large must big even such because turn here why ask went men read need land different home us move try kind hand picture again change off play spell air away animal house point page letter mother answer found study still learn should world international development government information particularly responsibility nevertheless environmental understanding considerable configuration unfortunately',
  ),
  german: language(
    'der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er hat dass sie nach wird bei einer um am sind noch wie einem über einen so zum war haben nur oder aber vor zur bis mehr durch man sein wurde sei Prozent hatte kann gegen vom können schon wenn habe seine ihre dann unter wir soll ich eines Jahr zwei Jahren diese dieser wieder keine Uhr seiner worden will zwischen immer Millionen was sagte Bundesregierung Zusammenarbeit Geschwindigkeitsbegrenzung Krankenversicherung Entwicklung Verantwortung Möglichkeiten Veröffentlichung grundsätzlich selbstverständlich Wirtschaftswachstum Straße größer schließlich während müssen Universität Öffentlichkeit Verhältnis Gesellschaft Aufmerksamkeit',
  ),
  french: language(
    'de la le et les des en un du une que est pour qui dans a par plus pas au sur ne se ce il sont avec son mais comme on ou si leur était être fait elle deux même ces aussi ont tout nous cette peut bien où sans temps très après avant ans année gouvernement développement français première problème société être était déjà États façon général président politique économique entreprise internationale particulièrement malheureusement connaissance environnement',
  ),
  spanish: language(
    'de la que el en y a los se del las un por con no una su para es al lo como más o pero sus le ha me si sin sobre este ya entre cuando todo esta ser son dos también fue había era muy años hasta desde está mi porque qué sólo han yo hay vez puede todos así nos ni parte tiene él uno donde bien tiempo mismo ese ahora cada vida otro después te otros aunque esa eso hace gobierno desarrollo información responsabilidad situación económica presidente nación administración difícil además',
  ),
  russian: language(
    'и в не на я быть он с что а по это она этот к но они мы весь который из у то за свой весь год от так о для ты же все тот мочь вы человек такой его сказать только или ещё бы себя один как уже до время если сам когда другой вот говорить наш мой знать стать при чтобы дело жизнь кто первый очень два день её новый рука даже во со раз где там под можно ну какой после их работа без самый потом надо хотеть ли слово идти большой должен место иметь правительство развитие информация государственный ответственность действительно международный возможность',
  ),
  arabic: language(
    'في من على إلى أن هذا التي الذي مع عن كان هذه كل بعد قبل كما لا ما هو هي بين ذلك أو حيث قد لم يكون عند منذ حتى أكثر غير إذا تم كانت خلال يوم عام دولة حكومة رئيس العالم المدينة الناس العمل الحياة الوقت الماء الكتاب المدرسة الجامعة السياسة الاقتصاد المعلومات التنمية المسؤولية الدولية الاجتماعية العربية مستقبل تاريخ مشروع شركة',
  ),
  hebrew: language(
    'של את על לא הוא זה עם היא כי גם או אל מה אני יש כל אם היה אבל רק עוד כמו בין אחרי לפני שנה יום אדם עולם ממשלה מדינה עבודה חיים זמן ספר בית ילד מים אוניברסיטה מידע פיתוח אחריות חברה כלכלה בינלאומי',
  ),
  hindi: language(
    'के में है और की से को का एक यह पर नहीं हैं भी कि इस ने तो लिए कर था हो जो या साथ अपने कुछ बाद दिया लोग समय काम सरकार देश जीवन पानी किताब विद्यालय विश्वविद्यालय जानकारी विकास जिम्मेदारी अंतरराष्ट्रीय समाज अर्थव्यवस्था राजनीति',
    ' ',
    '। ',
  ),
  chinese: language(
    '我们 他们 今天 天气 很好 学习 工作 中国 北京 上海 大学 学生 老师 朋友 时间 地方 问题 因为 所以 但是 如果 可以 应该 需要 知道 觉得 喜欢 发展 经济 社会 政府 信息 技术 公司 市场 世界 历史 文化 语言 电脑 手机 网络 数据 系统 程序 的 了 是 在 和 有 不 人 这 那 就 都 也 说 要 去 会 着 没有 看 好 自己',
    '',
    '。',
  ),
  japanese: language(
    '私 は が を に の で と も から まで です ます した する ある いる これ それ あれ 日本 東京 大学 学生 先生 友達 時間 場所 問題 だから しかし もし できる 必要 知る 思う 好き 発展 経済 社会 政府 情報 技術 会社 市場 世界 歴史 文化 言語 コンピュータ ネットワーク データ システム プログラム 今日 天気 勉強 仕事 とても 美しい 食べる 行く',
    '',
    '。',
  ),
  korean: language(
    '나는 우리는 그는 오늘 날씨가 좋습니다 공부 일 한국 서울 대학교 학생 선생님 친구 시간 장소 문제 때문에 그래서 하지만 만약 할 수 있다 필요 알다 생각한다 좋아한다 발전 경제 사회 정부 정보 기술 회사 시장 세계 역사 문화 언어 컴퓨터 네트워크 데이터 시스템 프로그램 매우 아름다운 먹는다 간다 합니다 입니다 그리고',
  ),
  thai: language(
    'ผม เขา เรา วันนี้ อากาศ ดี เรียน ทำงาน ประเทศไทย กรุงเทพ มหาวิทยาลัย นักเรียน ครู เพื่อน เวลา สถานที่ ปัญหา เพราะ ดังนั้น แต่ ถ้า สามารถ ต้องการ รู้ คิด ชอบ พัฒนา เศรษฐกิจ สังคม รัฐบาล ข้อมูล เทคโนโลยี บริษัท ตลาด โลก',
    '',
    ' ',
  ),
} as const;

/** One word in so many is rare. */
const rareWords = 8;
const emoji = Array.from('😀😂🎉🚀🔥👍🙏💡📈🧪🌍🍕🐙🛠🏗⏳✅❌⚠→≤≠∞∑√αβγ');
const punctuation = Array.from('.,;:!?()[]{}<>=+-*/&|^%$#@~`"\'\\_');

class Writer {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  upTo(most: number): number {
    return Math.floor(this.#random.next() * most);
  }

  pick<T>(from: readonly T[]): T {
    return from[this.upTo(from.length)]!;
  }

  word(): string {
    return this.wordOf(languages.english.words);
  }

  many(count: number, write: () => string, between = ''): string {
    return Array.from({ length: count }, write).join(between);
  }

  capital(word: string): string {
    return word.charAt(0).toUpperCase() + word.slice(1);
  }

  identifier(): string {
    const words = Array.from({ length: 1 + this.upTo(3) }, () => this.word());
    if (this.upTo(5) === 0) return words.join('_');
    return words.map((word, index) => (index === 0 ? word : this.capital(word))).join('');
  }

  /** Now and then a word is put together from two, as names and inflected forms are: no vocabulary holds it whole. */
  wordOf(words: readonly string[]): string {
    const word = this.pick(words);
    if (this.upTo(rareWords) > 0) return word;
    const other = this.pick(words);
    return word.slice(0, Math.ceil(word.length / 2)) + other.slice(Math.floor(other.length / 2));
  }

  sentence({ words, between, end }: Language): string {
    const body = this.many(4 + this.upTo(14), () => this.wordOf(words), between);
    const comma = this.upTo(3) === 0 && between !== '' ? `, ${this.wordOf(words)}` : '';
    return this.capital(body) + comma + end;
  }

  value(): unknown {
    const kind = this.upTo(4);
    if (kind === 0) return this.upTo(100_000);
    if (kind === 1) return this.upTo(2) === 0;
    return kind === 2 ? this.word() : this.sentence(languages.english).trim();
  }

  object(depth: number): Record<string, unknown> {
    const keys = Array.from({ length: 3 + this.upTo(4) }, () => this.identifier());
    const value = () => (depth > 0 && this.upTo(3) === 0 ? this.object(depth - 1) : this.value());
    return Object.fromEntries(keys.map((key) => [key, value()]));
  }

  statement(): string {
    const [a, b, c] = [this.identifier(), this.identifier(), this.identifier()];
    const n = this.upTo(1_000);
    return this.pick([
      `  const ${a} = ${b}.${c}(${n});\n`,
      `  if (${a} === undefined || ${b} > ${n}) return ${c};\n`,
      `export function ${a}(${b}: string, ${c}: number): boolean {\n  return ${b}.length < ${c};\n}\n\n`,
      `  for (const ${a} of Object.values(this.#${b})) await ${c}(${a}, { ${b}: '${this.word()}' });\n`,
      `    // ${this.sentence(languages.english).trim()}\n`,
      `import { ${a} } from './${b}.ts';\n`,
      `def ${a}(self, ${b}=None):\n    self.${c} = ${b} or ${n}\n\n`,
    ]);
  }
}

const lines = (writer: Writer, count: number, line: () => string) => writer.many(count, line, '\n');
const otherKinds: Record<string, (writer: Writer) => string> = {
  code: (writer) => writer.many(14, () => writer.statement()),
  json: (writer) => JSON.stringify(writer.object(2), null, 2),
  minifiedJson: (writer) => JSON.stringify(writer.object(3)),
  markdown: (writer) =>
    writer.many(3, () => {
      const prose = () => writer.sentence(languages.english).trim();
      const items = lines(writer, 3, () => `- **${writer.word()}**: ${prose()}`);
      const row = () => `| ${writer.word()} | ${writer.upTo(900)} | \`${writer.identifier()}\` |`;
      return `## ${writer.capital(writer.word())}\n\n${prose()}\n\n${items}\n\n${lines(writer, 3, row)}\n\n`;
    }),
  numbers: (writer) =>
    lines(
      writer,
      20,
      () => `${writer.upTo(1e6)},${(writer.upTo(1e6) / 1e3).toFixed(3)},2026-01-${10 + writer.upTo(20)}`,
    ),
  log: (writer) =>
    lines(
      writer,
      10,
      () =>
        `2026-01-02T03:04:${10 + writer.upTo(50)}.${100 + writer.upTo(900)}Z INFO ${writer.identifier()} took ${writer.upTo(999)} ms id=${writer.upTo(2 ** 31).toString(16)}`,
    ),
  symbols: (writer) => writer.many(60, () => `${writer.pick(emoji)} ${writer.word()}`, ' '),
  punctuation: (writer) => writer.many(60, () => writer.pick(punctuation) + writer.pick(['', ' ', 'a'])),
  hexadecimal: (writer) =>
    writer.many(16, () => writer.upTo(2 ** 31).toString(16) + writer.upTo(2 ** 31).toString(16), '-'),
  indented: (writer) =>
    lines(writer, 15, () => `${' '.repeat(2 * writer.upTo(14))}${writer.word()} ${writer.word()}`),
};

export interface Text {
  kind: string;
  text: string;
}

/** `perKind` texts of every kind, always the same for one seed. */
export function generateCorpus(seed: number, perKind: number): Text[] {
  const writer = new Writer(seededRandom(seed));
  const prose = Object.entries(languages).map(
    ([kind, each]) => [kind, () => writer.many(8, () => writer.sentence(each))] as const,
  );
  const other = Object.entries(otherKinds).map(([kind, write]) => [kind, () => write(writer)] as const);
  return [...prose, ...other].flatMap(([kind, write]) =>
    Array.from({ length: perKind }, () => ({ kind, text: write() })),
  );
}
