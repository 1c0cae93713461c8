"""What an answer says without stating anything: greetings, questions, offers, hedges and lead-ins."""

from __future__ import annotations

import regex

from latelens.attribution.guards.negation import is_small_word
from latelens.attribution.guards.reading import language_of, plain

# Question marks of all scripts; Armenian sets its own inside the word, Greek writes ";" for it.
_QUESTION = regex.compile(r"[?？؟﹖⸮፧᥅⳺⳻꘏꛷⁇⁈⁉‽❓❔][\s!！\"'”’»)\]*_]*$|՞|か[。．]?$|\p{Greek}[\s\S]*[;\u037e]$")
_COLON = regex.compile(r"[:：︰﹕][\s*_]*$")
# The whole sentence is one of these.
_EXCLAMATION = regex.compile(
    r"""(?ix) (?:
        (?:hi|hello|hey|greetings|welcome|dear)(?:\ (?:there|all|everyone|again|\w+))?
      | good\ (?:morning|day|afternoon|evening|question) | great(?:\ question)? | sure(?:\ thing)? | certainly
      | yes|no|of\ course|absolutely|okay|ok|well|right|goodbye|bye|cheers|sorry|you[’']?re\ welcome|my\ pleasure
      | no\ problem | see\ below | in\ (?:summary|short|conclusion) | exactly | correct | you[’']?re\ all\ set
      | (?:have|enjoy)\ (?:an?|your)\ (?:\w+\ )?(?:trip|stay|day|time|weekend|evening|holiday|visit|journey|meal)
      | safe\ travels | (?:good\ luck|have\ fun)(?:\ \w+)? | (?:(?:best|kind|warm)\ )?(?:regards|wishes)(?:,\s\w+)?
      | hallo|guten\ (?:morgen|tag|abend)|ja|nein|gerne?|natürlich|sicher|(?:danke|bitte)(?:\ \w+)?|tut\ mir\ leid
      | bonjour|bonsoir|salut|oui|non|bien\ sûr|merci(?:\ \w+)?|de\ rien|désolée?
      | hola|buen[oa]s\ \w+|sí|claro|por\ supuesto|gracias|de\ nada|lo\ siento
      | ciao|buongiorno|buonasera|certo|certamente|grazie|prego|mi\ dispiace
      | olá|oi|sim|não|obrigad[oa]|desculpe | goedendag|dag|bedankt|dank\ u|graag\ gedaan|natuurlijk
      | привет|здравствуйте|да|нет|спасибо|конечно|пожалуйста|извините
      | 你好|您好|是的|不是|好的|当然|谢谢|抱歉|不客气
      | こんにちは|はい|いいえ|もちろん(?:です)?|ありがとう(?:ございます)?
      | 안녕하세요|네|아니요|감사합니다|죄송합니다 | مرحبا|أهلا|نعم|لا|شكرا|عفوا|آسف
    ) [\s,.!…。！，、~]*$"""
)
# The sentence opens like this: it is about the conversation and not about the world.
_OPENING = regex.compile(
    r"""(?ix) [\s"'“*_]* (?:(?:unfortunately|sorry|however|but|well|please|also)[,:]?\s+)? (?:
        (?:thanks|thank\ you)\b(?!\s+to\b)
      | hope\ (?:this|that|it)\ helps?\b | (?:(?:great|sure|of\ course),?\ )?(?:happy|glad)\ to\ (?:help|assist)\b
      | (?:i|we)(?:\ (?:really|sincerely))?\ hope\b(?=.{0,60}\b(?:help|useful|answer|clear|clarif|enjoy))
      | i\ (?:(?:do|did|could|can)(?:\ not|n[’']t)|cannot|can[’']?t|am\ (?:not|unable|an?\ ai\b)|was\ unable|have\ no
        | would\ be\ happy|can\ also|can\ help|apologi[sz]e)
      | i[’'](?:m\ (?:not|unable|sorry|afraid|happy|glad|an?\ ai\b)|d\ be\ (?:happy|glad)|ll\ (?:be|help|try))
      | let\ (?:me|us)\ know | feel\ free | do(?:\ not|n[’']t)\ hesitate | (?:just\ )?ask\ (?:me|away)
      | if\ you(?:[’']d|\ would|\ (?:have|need|want|wish|like|are\ looking))\b
        (?=.{0,80}\b(?:question|know|help|ask|detail|information|more|like|elaborate))
      | as\ an?\ (?:ai|language\ model)
      | here\ (?:is|are|[’']s)\ (?:the|a|an|some|what|my)\s(?:\w+\s){0,2}
        (?:answer|summary|overview|list|table|information|details|breakdown|explanation)\b
      | ich\ (?:hoffe|weiß\ (?:es\ |das\ )?nicht|kann\ (?:ihnen|dir|diese|das|leider)|helfe)
      | leider\ (?:kann|konnte|weiß)\ ich | (?:lassen\ sie|lass)\ (?:es\ )?mich\ wissen
      | (?:wenn|falls|sollten)\ (?:sie|du)\b(?=.{0,80}\b(?:frage|hilfe|wissen))
      | j[’']espère | je\ (?:ne\ )?(?:sais\ pas|peux\ pas|regrette) | n[’']hésite[zs]?
      | si\ vous\ avez\b(?=.{0,40}\bquestion)
      | (?:espero|spero)\ (?:que|che)\b(?=.{0,60}\b(?:ayud|ajud|útil|utile|aiut|serv))
      | no\ (?:lo\ )?sé\b | no\ dud[ea] | no\ puedo | si\ (?:tiene|tienes|necesita)\b
      | non\ (?:lo\ )?so\b | non\ esit\w+ | não\ sei\b | não\ hesite
      | se\ (?:tiver|precisar|ha|hai)\ (?:alguma|mais|dúvida|altre|domande)
      | ik\ (?:hoop|weet\ het\ niet|kan\ (?:u|je|dit)) | laat\ (?:het\ )?(?:me|mij)\ weten
      | als\ (?:u|je)\b(?=.{0,60}\bvra)
      | надеюсь | я\ не\ (?:знаю|могу) | если\ у\ (?:вас|тебя)\b
      | 希望(?:这|以上|能|对) | 我(?:不知道|无法|不确定) | 如果(?:您|你)(?:有|需要|还) | 请(?:告诉我|随时)
      | 申し訳 | わかりません | 分かりません | お役に立て | ご質問 | 도움이 | 모르겠 | 궁금한
      | لا\ أعرف | لا\ أعلم | أتمنى | إذا\ كان\ لديك
    )"""
)
_PLACE = r"""(?:contexts?|passages?|documents?|sources?|excerpts?|snippets?|articles?|texts?|search\ results
  |information\ (?:provided|given|available))"""
_THESE = r"""(?: \b(?:the|these|this|your|both|all|any|given|provided|available|above|retrieved)\s+
  (?:contexts?|passages?|documents?|sources|excerpts?|snippets?|texts?|pages|(?:house\ |hand)book|search\ results)
  | information\ (?:provided|given) | in\ context )\b"""
# "The context does not say", "it is not mentioned in the documents": true or not, no sentence of a source shows it.
_ABSTENTION = regex.compile(
    rf"""(?ix) there\ (?:is|was)\ no\ (?:\w+\ )?(?:information|mention)\b | (?=.*{_THESE}) .* (?:
        (?: \b(?:not|never|cannot|unable|without|neither|nor)\b | n[’']t\b ) \s* (?:\w+\s+){{0,3}}?
        (?: mention|specif|state\b|stated\b|say|provid|contain|includ|indicat|discuss|address|clear|possible|enough
          | sufficient|determin|explicit|answer )
      | \b(?:there\ (?:is|are|was)|contains?|provides?|gives?|includes?|has|have|find|found)\s+
        (?:no|insufficient|not\ enough)\s+(?:\w+\s+)?
        (?: mention|information|details?|evidence|reference|data|answer|indication )
    )"""
)
_SHORT = 40  # characters: longer ones are read by their words
_WORD = regex.compile(r"[\p{L}\p{M}\p{N}']+")
_AGREEING = frozenset(("true", "right", "correct", "so", "too", "also", "really", "that's", "it's", "there's"))
_SUMMING_UP = regex.compile(r"(?i)^(?:in (?:short|summary|conclusion|brief|other words)|to sum up)\s*[:,]\s*(?=\S)")
# "Based on the given contexts,", "According to document 2,", "As mentioned in the sources, it is stated that".
_LEAD_IN = regex.compile(
    rf"""(?ix) ^ (?:(?:yes|no|however|additionally|also|therefore|overall)\s*,\s*)?
      (?: (?:based|going|relying)\ (?:solely\ |only\ )?(?:up)?on | according\ to | as\ per | in | from | per
        | as\ (?:\w+\ )?(?:mentioned|stated|noted|described|shown|seen|indicated|specified|explained|given)\ (?:in|by) )
      (?: \s+ (?: the|this|these|both|all|our|your|my|any|information|details?|evidence|facts?|that|is|was|are|were|I
        | you|have|in|from|by|of|given|provided|available|above|retrieved|following|supplied|cited|mentioned|shared ) )*
      \s+ {_PLACE} (?:\s+(?:provided|given|above|available|you\ (?:provided|shared|gave)))*
      (?:\s*\[?\d+\]?(?:\s*(?:,|and|&)\s*\[?\d+\]?)*)? \s* (?:[,:]\s*|$)
      (?:it\ (?:is|can\ be|was)\ (?:\w+\ )?(?:mentioned|stated|noted|said|seen|clear|concluded)\ that\s+)?"""
)


def is_remark(text: str) -> bool:
    """Whether a sentence states nothing that a source could back."""
    return bool(
        _QUESTION.search(text)
        or _COLON.search(text)
        or _EXCLAMATION.match(text)
        or _OPENING.match(text)
        or _ABSTENTION.match(text)
        or _points_only(text)
    )


def _points_only(text: str) -> bool:
    """Whether a short sentence has no word that says something: "It does!", "That's true."."""
    if len(text) > _SHORT:
        return False
    read = plain(text)
    language = language_of(read)
    words = [word for word in _WORD.findall(read) if word.lower() not in _AGREEING]
    return all(is_small_word(word, language) for word in words)


def without_lead_in(text: str) -> str:
    """The sentence without words that only say where it comes from, or that it sums up, in English.

    >>> without_lead_in("Based on the provided documents, they eat grass.")
    'they eat grass.'
    """
    statement: str = _LEAD_IN.sub("", _SUMMING_UP.sub("", text))
    return statement
